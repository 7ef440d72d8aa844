"""Builds the image of this checkout, with this machine's own package index."""

import configparser
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.image import base
from tests.image.engine import ROOT, Engine

IMAGE = "kis-bond-connector"
BUILD_SECONDS = 1200


def build(
    docker: Engine, *, revision: str, comment: str = "", packages: str = "runtime", target: str | None = None
) -> str:
    """Build the image with these packages and return its name.

    `comment` stands in pip's configuration. `target` is the stage at which the build ends.
    An engine of our own must have the image's base already (`base.make`).
    """
    name = IMAGE if packages == "runtime" else f"{IMAGE}-{packages}"
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "pip.conf"
        configuration.write_text(f"# {comment}\n{_pip_configuration(docker)}")
        proxies = [name for name in os.environ if re.fullmatch("(https?|no)_proxy", name, re.IGNORECASE)]
        docker.docker(
            *("build", "--network", "host", "--secret", f"id=pip.conf,src={configuration}", "--tag", name),
            *(each for name in proxies for each in ("--build-arg", name)),
            *(("--target", target) if target else ()),
            *("--build-arg", f"PACKAGES={packages}", "--build-arg", f"REVISION={revision}", str(ROOT)),
            timeout=BUILD_SECONDS,
        )
    return name


def _pip_configuration(docker: Engine) -> str:
    """Return this machine's own pip configuration, as a file that works inside a build."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    parser = configparser.RawConfigParser()
    parser.add_section("global")
    for key, value in re.findall(r"^(?:global|:env:)\.([\w-]+)='(.*)'$", said, re.MULTILINE):
        if key in {"index-url", "extra-index-url", "trusted-host", "default-timeout", "proxy"}:
            parser.set("global", key, value)
    if docker.is_own:
        parser.set("global", "cert", str(base.CERTIFICATES))
    lines = ["[global]", *(f"{key} = {value}" for key, value in parser.items("global"))]
    return "\n".join(lines) + "\n"
