"""Recipes that no training can be meant by, and texts for --set."""

from __future__ import annotations

from pathlib import Path

#: Changes for --set.
CHANGES = {
    "memory_by_images": "solver.images_per_identity=100000",
    "memory_by_identities": "solver.identities_per_batch=1000000",
    "depth": "model.overrides.depth=1000",
    "layers": "model.overrides.aggregation_depth=1000000000",
    "width": "model.overrides.width=640000",
    "mlp_width": "model.overrides.mlp_width=10000000",
    "image_size": "model.image_size=[100000, 100000]",
    "negative_size": "model.image_size=[-256, 128]",
    "no_state": "model.overrides.state=0",
    "workers": "workers=100000",
    "epochs": "solver.epochs=99999999999999999999",
    "many_digits": f"solver.epochs={'9' * 5000}",
    "hexadecimal": f"solver.epochs=0x{'f' * 900}",
    "rate_nan": "solver.base_lr=nan",
    "rate_inf": "solver.base_lr=inf",
    "rate_negative": "solver.base_lr=-1",
    "smoothing": "solver.label_smoothing=2",
    "flip": "augmentation.flip=7",
    "padding": "augmentation.padding=10000000",
    "area": "augmentation.erase_area=[0.9, 0.1]",
    "aspect": "augmentation.erase_aspect=[0, 1]",
    "seed": "seed=-1",
    "switch_of_text": "model.overrides.prompt=no",
    "mean_of_text": 'model.overrides.pixel_mean=["a", "b", "c"]',
    "std_zero": "model.overrides.pixel_std=[0, 0, 0]",
    "kind_of_list": "model.overrides.backbone=[[]]",
    "nested_value": "solver.margin=" + "[" * 900,
    "long_value": "name='" + "x" * 100_000 + "'",
    "long_path": ".".join("a" * 400) + "=1",
    "two_lines": "solver.epochs=3\nseed=1",
    "escapes": "solver.\x1b[31mepochs=3",
    "precision": "precision=" + "f" * 900,
}

#: Whole files, by name.
TEXTS = {
    "digits": "name = 'x'\n[solver]\nepochs = " + "9" * 5000,
    "brackets": "name = " + "[" * 5000,
    "brackets_in_lines": "name = " + "[\n" * 5000,
    "tables_in_lines": "name = 'x'\n" + "".join(f"[{'.'.join('a' * 400)}]\n" for _ in range(100)),
    "dotted_key": ".".join("a" * 20_000) + " = 1",
    "dates": "name = 1979-05-27T07:32:00Z",
    "infinity": "name = 'x'\n[solver]\nbase_lr = inf",
    "table_twice": "name = 'x'\n[solver]\n[solver]\n",
    "keys_of_escapes": 'name = "x"\n"\\u001b[2J" = 1',
    "not_utf8": "name = '\udcff'",
    "nul": "name = 'a\0b'",
    "empty": "",
    "lines": "name = 'x'\n" + "".join(f"a{i} = {i}\n" for i in range(60_000)),
    "long_string": "name = '''" + "x\n" * 500_000 + "'''",
}


def write_all(folder: Path) -> list[Path]:
    """Recipes as TOML files: damaged, endless, and one for each of CHANGES."""
    paths = []
    for name, text in TEXTS.items():
        path = folder / f"{name}.toml"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        paths.append(path)
    for name, change in CHANGES.items():
        path = folder / f"field_{name}.toml"
        path.write_bytes(f"name = 'x'\n{change}\n".encode("utf-8", "surrogateescape"))
        paths.append(path)
    return paths
