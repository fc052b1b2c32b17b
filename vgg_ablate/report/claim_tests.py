"""Claims as tests: whether their verdicts are the expected ones, as lines, JUnit XML and a badge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from vgg_ablate.analysis.verdicts import Verdict
from vgg_ablate.config.study import Study
from vgg_ablate.report import wording
from vgg_ablate.report.figures import canvas

State = Literal["passed", "failed", "undecided"]
_BADGE_COLORS: dict[State, str] = {"passed": "#007a5a", "failed": "#b84a00", "undecided": "#65707a"}


@dataclass(frozen=True)
class ClaimTest:
    """The verdict of a claim beside the one that its author expects."""

    suite: str  # name of the study, or of the file of claims
    id: str
    text: str
    expected: str
    verdict: str
    evidence: str

    @property
    def state(self) -> State:
        """The outcome of the test; undecided where the claim is inconclusive or has no runs."""
        if self.verdict == self.expected:
            return "passed"
        return "undecided" if self.verdict == "inconclusive" else "failed"

    def describe(self) -> str:
        """Return e.g. `failed: kernels/pair: expected supported, got refuted: two 3x3 beat one 5x5: ...`."""
        got = self.verdict if self.state == "passed" else f"expected {self.expected}, got {self.verdict}"
        return f"{self.state}: {self.suite}/{self.id}: {got}: {self.text}: {self.evidence}"


def collect_claim_tests(suite: str, verdicts: Sequence[Verdict]) -> list[ClaimTest]:
    """Return one test per claim that expects a verdict."""
    return [
        ClaimTest(
            suite,
            verdict.claim.id,
            verdict.claim.text,
            verdict.claim.expect,
            verdict.verdict,
            f"{wording.format_estimate(verdict)}; {wording.describe_reason(verdict)}".removeprefix("–; "),
        )
        for verdict in verdicts
        if verdict.claim.expect is not None
    ]


def list_unrun_tests(study: Study, reason: str) -> list[ClaimTest]:
    """Return one undecided test per claim that expects a verdict, of a study without results."""
    return [
        ClaimTest(study.name, claim.id, claim.text, claim.expect, "inconclusive", reason)
        for claim in study.claims
        if claim.expect is not None
    ]


def render_junit(tests: Sequence[ClaimTest], *, allow_inconclusive: bool = False) -> str:
    """Return JUnit XML with one suite per study.

    A test that failed is a failure; an undecided one is an error, or skipped with `allow_inconclusive`.
    """
    root = ElementTree.Element("testsuites")
    for suite in dict.fromkeys(test.suite for test in tests):
        own = [test for test in tests if test.suite == suite]
        undecided = sum(test.state == "undecided" for test in own)
        element = ElementTree.SubElement(
            root,
            "testsuite",
            name=suite,
            tests=str(len(own)),
            failures=str(sum(test.state == "failed" for test in own)),
            errors=str(0 if allow_inconclusive else undecided),
            skipped=str(undecided if allow_inconclusive else 0),
        )
        for test in own:
            case = ElementTree.SubElement(element, "testcase", classname=suite, name=test.id)
            if test.state != "passed":
                tag = "failure" if test.state == "failed" else "skipped" if allow_inconclusive else "error"
                message = f"expected {test.expected}, got {test.verdict}"
                ElementTree.SubElement(case, tag, message=message).text = f"{test.text}: {test.evidence}"
    ElementTree.indent(root, " ")
    return f"{ElementTree.tostring(root, encoding='unicode', xml_declaration=True)}\n"


def render_badge(tests: Sequence[ClaimTest]) -> str:
    """Return an SVG badge: how many claims have the expected verdict, in the colour of the worst of them."""
    states = [test.state for test in tests]
    worst: State = "failed" if "failed" in states else "undecided" if "undecided" in states else "passed"
    label, value = "claims", f"{states.count('passed')} of {len(states)} as expected"
    left, right = (round(72 * canvas.measure_text_inches(text, 11)) + 12 for text in (label, value))
    title = f"{label}: {value}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">\n'
        f"<title>{title}</title>\n"
        f'<rect width="{left}" height="20" rx="3" fill="#40474e"/>\n'
        f'<rect x="{left}" width="{right}" height="20" rx="3" fill="{_BADGE_COLORS[worst]}"/>\n'
        f'<g fill="#fff" font-family="DejaVu Sans,Verdana,sans-serif" font-size="11">'
        f'<text x="6" y="14">{label}</text><text x="{left + 6}" y="14">{value}</text></g>\n</svg>\n'
    )
