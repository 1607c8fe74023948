"""The cache of compiled kernels never outlives the files it was made from."""

import os
import shutil

from lmkit import kernels


def test_any_change_in_the_folder_empties_the_cache(tmp_path, monkeypatch):
    sources = tmp_path / "kernels"
    sources.mkdir()
    for name in ("__init__.py", "helpers.py"):
        shutil.copy(kernels.__file__, sources / name)
    monkeypatch.setattr(kernels, "__file__", str(sources / "__init__.py"))
    cache = tmp_path / "cache [1]"  # brackets mean something to glob
    cache.mkdir()
    compiled = cache / "kernel.py311.1.nbc"

    def survives() -> bool:
        compiled.write_bytes(b"machine code")
        kernels._forget_stale.cache_clear()
        kernels._forget_stale(str(cache))
        return compiled.exists()

    assert not survives()  # nobody knows what it was made from
    assert survives()
    os.utime(sources / "helpers.py", ns=(1, 1))
    assert not survives()
    assert survives()
    (sources / "helpers.py").unlink()
    assert not survives()
    kernels._forget_stale.cache_clear()


def test_a_kernel_without_a_folder_for_its_code_is_compiled_and_noted(monkeypatch):
    def no_folder(*_, cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(kernels, "njit", no_folder)
    monkeypatch.setattr(kernels, "uncached", [])
    assert kernels.kernel(abs)(-3) == 3 and kernels.uncached == ["abs"]
