"""mien: portraits in, faces of people who do not exist out."""

__version__ = "0.1.0"
TOOL = f"mien {__version__}"
