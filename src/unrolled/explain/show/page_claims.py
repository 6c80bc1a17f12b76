"""What people say, each judged on this model, and the dictionary of its words."""

from __future__ import annotations

from typing import Any

from .. import words
from .markup import coded, each, safe

Facts = dict[str, Any]
VERDICTS = {
    "shown": "✓ shown",
    "failed": "✗ contradicted",
    "does not apply": "– does not apply",
}


def claims(facts: Facts) -> str:
    of = {one["id"]: one["claims"] or facts["claims"] for one in facts["layers"]}
    rows = []
    for k, claim in enumerate(facts["claims"]):
        judged = each(facts, lambda layer, k=k: _judged(of[layer["id"]][k]))
        rows.append(
            f'<li id="claim-{claim["id"]}" class="claim">'
            f'<p class="heard"><span class="n">{claim["id"]}</span> '
            f"{coded(claim['heard'])}</p>{judged}"
            f'<button type="button" hidden data-show="{claim["view"]}">'
            f'Show me<span class="unseen"> the answer to claim {claim["id"]}</span>'
            "</button></li>"
        )

    def counted(layer: Facts) -> str:
        verdicts = [claim["verdict"] for claim in of[layer["id"]]]
        return (
            f'<p class="lead">{len(verdicts)} claims, each held against this layer by '
            f"a check that ran: {verdicts.count('shown')} answers shown, "
            f"{verdicts.count('failed')} contradicted.</p>"
        )

    return (
        '<section id="claims"><h2>Things people say, and what this model did</h2>'
        f"{each(facts, counted)}"
        f'<ol class="claims">{"".join(rows)}</ol></section>'
    )


def _judged(claim: Facts) -> str:
    verdict = claim["verdict"]
    return (
        f'<div class="{verdict.split()[0]}"><p class="truth">{coded(claim["truth"])}'
        f'</p><p class="executed"><b>{VERDICTS[verdict]}</b> '
        f"{coded(claim['executed'])}</p></div>"
    )


def dictionary(facts: Facts) -> str:
    means = "".join(
        f'<tr><th scope="row">{safe(row["word"])}</th><td>{coded(row["means"])}</td>'
        f'<td class="soft">never: {coded(row["never"])}</td></tr>'
        for row in facts["dictionary"]["words"]
    )
    return (
        '<section id="dictionary"><h2>Dictionary</h2><div class="two"><div>'
        f"{each(facts, _names)}</div><div><h3>Words</h3>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Words">'
        f"<table><tbody>{means}</tbody></table></div></div></div></section>"
    )


def _linked(row: Facts) -> str:
    """An example; where it is a cell of the user's, a link to its layer."""
    example = f"<code>{safe(row['example'])}</code>"
    layer = row.get("layer")
    return f'<a href="#formula-{layer}">{example}</a>' if layer else example


def _names(layer: Facts) -> str:
    found = words.dictionary([layer])
    units = "".join(
        f'<tr><th scope="row">{safe(row["library"])}</th><td><code>{safe(row["name"])}'
        f"</code></td><td>{_linked(row)}</td></tr>"
        for row in found["units"]
    )
    cell = "".join(
        f"<li><b>{safe(row['meaning'])}</b><br>{safe(row['here'])}</li>"
        for row in found["cell"]
    )
    return (
        '<h3>One number, three names</h3><div class="scroll" tabindex="0" '
        'role="region" aria-label="Names of units">'
        f"<table><tbody>{units}</tbody></table></div>"
        f"<h3>The four meanings of “cell”</h3><ol>{cell}</ol>"
    )
