"""Runs a network that `stdc-lab export` wrote on pictures: without stdc_lab, without torch.

    pip install numpy pillow onnxruntime         (for a .onnx file)
    pip install numpy pillow openvino            (for a .xml file with its .bin file)

    python THIS_FILE.py MODEL.onnx PICTURE.jpg …

For each picture of a street it writes PICTURE_classes.png, whose values are class ids, and prints what is seen; of a
classifier it prints the best class.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, Any]


def load(path: Path) -> tuple[Callable[[Array], Array], dict[str, str]]:
    """The model as a function of images N×3×H×W, and what the file says of itself."""
    if path.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        (source,) = session.get_inputs()
        about = session.get_modelmeta().custom_metadata_map
        return lambda images: session.run(None, {source.name: images})[0], about
    import openvino

    model = openvino.Core().read_model(str(path))
    about = model.get_rt_info(["stdc_lab"]).value
    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda images: compiled([images])[0], about


def to_input(picture: Image.Image, about: dict[str, str]) -> Array:
    """A picture as images 1×3×H×W, normalised as the network was trained."""
    height, width = map(int, about["size"].split("x"))
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.BOX), np.float32) / 255
    mean, std = (np.array(json.loads(about[key]), np.float32) for key in ("mean", "std"))
    return np.ascontiguousarray(((pixels - mean) / std).transpose(2, 0, 1)[None])


def main(model: str, *pictures: str) -> None:
    """Run the model on every picture."""
    run, about = load(Path(model))
    count = int(about["num_classes"])
    names = json.loads(about["class_names"]) if "class_names" in about else [f"class {i}" for i in range(count)]
    for name in pictures:
        path = Path(name)
        with Image.open(path) as opened:
            picture = opened.convert("RGB")
        best = run(to_input(picture, about))[0].argmax(0)
        if best.ndim == 0:
            print(f"{path}: {names[int(best)]}")
            continue
        classes = Image.fromarray(best.astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
        classes.save(path.with_name(f"{path.stem}_classes.png"))
        shares = np.bincount(best.ravel(), minlength=count) / best.size
        seen = [f"{names[i]} {shares[i]:.0%}" for i in np.argsort(-shares) if shares[i] >= 0.01]
        print(f"{path}: {', '.join(seen)}")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
