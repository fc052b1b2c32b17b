"""A judgement as files: report.md, report.html, table.tex, claims.json and figures/forest.svg."""

from __future__ import annotations

from pathlib import Path

from vgg_ablate.external.judging import Judgement
from vgg_ablate.external.tables import build_tables, describe_judgement, explain_verdicts, serialize_judgement
from vgg_ablate.files import replace_file
from vgg_ablate.formatting.table import render_latex, render_markdown
from vgg_ablate.report.figures import canvas, forest
from vgg_ablate.report.html.claims import render_claims
from vgg_ablate.report.html.document import GENERATOR_OF_FIGURES, render_document
from vgg_ablate.report.markdown import escape_tags


def write_files(judgement: Judgement, folder: Path) -> None:
    """Write the files of a judgement into a folder, which is made where it is missing. Raises StorageError."""
    files = {
        "claims.json": f"{serialize_judgement(judgement)}\n",
        "table.tex": render_latex(build_tables(judgement)[0]),
        "report.md": render_markdown_report(judgement),
        "report.html": _render_judgement_page(judgement),
    }
    with judgement.use_metrics():
        if rows := forest.build_forest_rows(judgement.verdicts, judgement.frame):
            files["figures/forest.svg"] = canvas.render_svg(lambda: forest.plot_forest(rows))
    for name, text in files.items():
        replace_file(folder / name, text)


def render_markdown_report(judgement: Judgement) -> str:
    """Return the report of a judgement in Markdown."""
    claims_table, variants_table = build_tables(judgement)
    evidence = [f"- {name}: {escape_tags(' '.join(sentences))}" for name, sentences in explain_verdicts(judgement)]
    parts = [
        f"# {escape_tags(_get_title(judgement))}",
        f"**{escape_tags(describe_judgement(judgement))}**",
        render_markdown(claims_table),
        "![The verdicts as intervals](figures/forest.svg)",
        render_markdown(variants_table),
        "\n".join(["## The numbers behind the claims", "", *evidence]),
        "\n".join(["## Notes", "", *(f"- {escape_tags(note)}" for note in judgement.notes)]) if judgement.notes else "",
    ]
    return "\n\n".join(part.rstrip("\n") for part in parts if part) + "\n"


def _render_judgement_page(judgement: Judgement) -> str:
    claims_table, variants_table = build_tables(judgement)
    with judgement.use_metrics():
        claims = render_claims(judgement.verdicts, judgement.frame, claims_table)
    return render_document(
        "judgement.html",
        generator=GENERATOR_OF_FIGURES,
        title=_get_title(judgement),
        source=Path(judgement.source).name,
        answer=describe_judgement(judgement),
        claims=claims,
        variants=variants_table,
        evidence=explain_verdicts(judgement),
        notes=judgement.notes,
    )


def _get_title(judgement: Judgement) -> str:
    return judgement.claims_file.question or "Claims"
