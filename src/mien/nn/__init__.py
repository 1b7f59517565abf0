"""Published networks whose weights are third-party files: structure here, weights from the artefact cache."""
