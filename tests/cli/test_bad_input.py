"""Every mistake in a study file is reported in one line: place, path, rule, and the given value."""

from __future__ import annotations

from pathlib import Path

import pytest

from vgg_ablate.cli.check import check
from vgg_ablate.errors import SpecError

STUDY = """\
version: 1
name: bad
question: what is wrong?
data: {name: digits, image_size: 16}
arch: ARCH
variants:
  other: CHANGES
"""
GOOD = '{stages: "8 8 | 16 16", head: {hidden: [8]}}'
NORM = "{arch.norm: batch}"

ARCHS = [
    ('{stages: "8 0 | 16"}', "5:8: arch.stages: column 3: the channels of '0' must be at least 1, got '8 0 | 16'"),
    ('{stages: "8 | 16", width: -1.5}', "5:26: arch.width: must be greater than 0, got -1.5"),
    ('{stages: "8 | 16", width: 1e300}', "5:26: arch.width: must be less than or equal to 10000, got 1e+300"),
    (
        '{stages: "8 -8"}',
        "5:8: arch.stages: column 3: '-8' is not a convolution such as 64, 64@5, 64@1x3, 64~ or 64*3, got '8 -8'",
    ),
    (
        '{stages: "8@4"}',
        "5:8: arch.stages: column 1: the kernel sides of '8@4' must be odd, so that padding keeps the "
        "map size, got '8@4'",
    ),
    (
        "{stages: 8*1000000000}",
        "5:8: arch.stages: column 1: the repeat count of '8*1000000000' must be from 1 to 1,000, got '8*1000000000'",
    ),
    (
        '{stages: "8 | 16", depth: 1000000000}',
        "5:26: arch.depth: must be less than or equal to 1000, or a list, got 1000000000",
    ),
    (
        f'{{stages: "{10**12}"}}',
        "5:8: arch.stages[0].convs[0].channels: must be less than or equal to 1000000000, got 1000000000000",
    ),
    ("{stages: []}", "5:8: arch.stages: must have a length of at least 1, got []"),
    (
        "{stages: [{convs: [{channels: 0}]}]}",
        "5:27: arch.stages[0].convs[0].channels: must be greater than or equal to 1, got 0",
    ),
    (
        "{stages: [{convs: [{channels: 4, kernel: 2}]}]}",
        "5:40: arch.stages[0].convs[0].kernel: kernel sides must be odd, so that padding keeps the map size, got 2",
    ),
]
CHANGES = [
    (
        "arch.kernel: 4",
        "7:11: variants.other: arch.kernel[0]: must be 3, 5, 7, '1x1-last', '1xn', 'every-3', 'every-5' or 'every-7', "
        "got 4",
    ),
    (
        "'arch.stages[1].channels': 2.5",
        "7:11: variants.other: arch.stages[1].channels: must be a valid integer, got 2.5",
    ),
    (
        "arch.head.hidden: [8, 8, 8, 8]",
        "7:11: variants.other: arch.head.hidden: must have a length of at most 3, got [8, 8, 8, 8]",
    ),
    (
        "arch.head.pool: 0",
        "7:11: variants.other: arch.head.pool: must be 'none' or 'global', or greater than or equal to 1, got 0",
    ),
    (
        "arch.depth: 0",
        "7:11: variants.other: arch.depth: must be greater than or equal to 1, or a list, got 0",
    ),
    (
        "arch.image_size: 3",
        "7:3: variants.other: arch.stages[1].pool: pooling number 2 finds a 1x1 map that cannot be halved "
        "(image_size 3)",
    ),
    (
        "arch.stages: 8@45 | 8",
        "7:3: variants.other: arch.stages[0].convs[0].kernel: most of the kernel lies outside the 16x16 map, "
        "got '45x45'",
    ),
    (
        "arch.match: {macs: 10}",
        "7:3: variants.other: arch.match: no width gives 10 macs within 1.00%: the nearest are 5,968 (1 1 | 1 1) "
        "and 8,400 (1 1 | 2 2)",
    ),
    (
        "arch.match: {macs: 1.0e+18}",
        "7:3: variants.other: arch.match: no width gives 1,000,000,000,000,000,000 macs within 1.00%: the nearest are "
        "13,915,819,868,240 (49152 49152 | 98304 98304) and 55,663,027,814,480 (98304 98304 | 196608 196608)",
    ),
    (
        "arch.match: {macs: base, tolerance: 5}",
        "7:11: variants.other: arch.match.tolerance: must be less than 1, got 5",
    ),
]


@pytest.mark.parametrize(
    ("arch", "changes", "message"),
    [(arch, NORM, message) for arch, message in ARCHS]
    + [(GOOD, f"{{{change}}}", message) for change, message in CHANGES],
)
def test_a_mistake_is_one_line(tmp_path: Path, arch: str, changes: str, message: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(STUDY.replace("ARCH", arch).replace("CHANGES", changes))
    with pytest.raises(SpecError) as caught:
        check(path, None)
    assert str(caught.value).removeprefix(f"{path}:") == message
