#!/usr/bin/env bash
# Makes the shelf in the current folder, which holds recipe.toml. OLD: a checkout of the commit that README.md names,
# with the package installed in OLD/.venv.
set -eu
mambapro="$OLD/.venv/bin/mambapro" python="$OLD/.venv/bin/python"
images="--data data --dataset rgbnt201"

$mambapro synth --out data --dataset rgbnt201 --seed 3 --train-identities 6 --test-identities 8 --images 4
rm data/drawn.json
# drawn at 128 x 256 pixels: too many bytes for what a model of 64 x 32 sees of them
$python - <<'END'
from pathlib import Path
from PIL import Image
for path in sorted(Path("data").rglob("*.jpg")):
    Image.open(path).convert("RGB").resize((48, 96)).save(path, quality=75)
END

# best.pth and its bundles
$mambapro train --config recipe.toml --data data --out run --device cpu
cp run/best.pth .
$mambapro export --ckpt best.pth $images --output fp32.mambapro
$mambapro export --ckpt best.pth $images --fp16 --max-map-drop 2 --output fp16.mambapro
cp -r fp32.mambapro int8.mambapro
$mambapro build int8.mambapro --target openvino --calib data --calib-images 24 $images --max-map-drop 3 --force

# a shorter training of a smaller model, once to its end and once killed as soon as there is a state
short="--config recipe.toml --set model.overrides.depth=1 --epochs 8 --data data --device cpu"
$mambapro train $short --out short
cp short/log.csv short.csv
$mambapro train $short --out killed &
until [ -e killed/state.pth ]; do sleep 0.01; done
kill -KILL $!
mkdir stopped
cp killed/state.pth stopped
$python - <<'END'
from mambapro.train.models.weights import load_checkpoint, save_checkpoint
model = load_checkpoint("short/best.pth")
save_checkpoint(model, "short.safetensors", training=model.trained_on)
save_checkpoint(model, "authors.pth", layout="authors")
END

# embeddings: of the bundles for the test images, of the checkpoints for the samples in the bundles' golden.npz
mkdir extracted
test=data/RGBNT201/test
for artifact in "fp32 onnxruntime fp32" "fp16 onnxruntime fp16" "int8 onnxruntime fp32" "int8 openvino int8"; do
    set -- $artifact
    extract="$mambapro extract $1.mambapro --target $2 --precision $3 --device cpu --camera-pattern cam(\\d+) --first-camera 1"
    $extract --rgb $test/RGB --nir $test/NI --tir $test/TI --out extracted/$1-$2-$3-rgb-nir-tir.npz
    $extract --rgb $test/RGB --tir $test/TI --out extracted/$1-$2-$3-rgb-tir.npz
    $extract --nir $test/NI --out extracted/$1-$2-$3-nir.npz
done
$python - <<'END'
from pathlib import Path
import numpy as np
from mambapro.train.evaluate import embed
from mambapro.train.models.weights import load_checkpoint
arrays = {path.stem: np.load(path)["embeddings"] for path in sorted(Path("extracted").glob("*.npz"))}
golden = np.load("fp32.mambapro/golden.npz")
images = np.stack([golden[name] for name in ("rgb", "nir", "tir")], axis=1)
for name in ("best.pth", "short.safetensors", "authors.pth"):
    model = load_checkpoint(name, image_size=(64, 32))
    arrays[name] = embed(model, images, golden["camera"], golden["modality_mask"])
np.savez_compressed("embeddings.npz", **arrays)
END
rm -r run short killed extracted
