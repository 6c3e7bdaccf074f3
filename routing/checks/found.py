"""Whether an answer says that the text is silent: "the document does not mention", "not specified", "no information".

What says nothing else has failed; an answer that says so of one thing and tells another has not, where what it tells is
more than what it misses. Nine languages, by wordings of our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from .base import NOTHING, BaseCheck, Given, Verdict

__all__ = ["FoundCheck", "says_nothing"]

_TEXT: Final = (
    r"(?:(?:text|document|file|passage|excerpt|context|report|filing|article|paper|material|source|section|content|"
    r"information|data|contract|minutes|transcript|book|story|log|page|statement|piece|snippet|table|record|author)s?)"
)
_GIVEN: Final = r"(?:the |this |these |any |your )?(?:(?:provided|given|supplied|above|available|attached|quoted) )*"
_NOT: Final = r"(?:does not|doesn[\u2019']t|do not|don[\u2019']t|did not|didn[\u2019']t|is not|isn[\u2019']t|are not|aren[\u2019']t|"
_NOT += r"was not|wasn[\u2019']t|were not|weren[\u2019']t|never|fails? to|cannot be|can[\u2019']t be|could not be|not)"
_TELLS: Final = (
    r"(?:mention|specif(?:y|ied|ies)|state|say|provide|contain|include|indicate|discuss|address|disclose|give|give[sn]|list|"
    r"reveal|describe|tell|answer|explain|offer|supply|report|detail|identif(?:y|ied)|name|note|cover|show|"
    r"found|find|determined|available|present)(?:s|d|ed|n)?"
)

_ENGLISH: Final = (
    rf"\b{_GIVEN}{_TEXT}\b[^.!?\n]{{0,60}}?\b{_NOT}\b(?: \w+ly)? (?:\w+ ){{0,2}}?{_TELLS}\b",
    rf"\b{_NOT} (?:\w+ly )?(?:been )?(?:mention|specif|stat|provid|disclos|discuss|address|indicat|list|given|found|available|"
    rf"present|reveal|report|describ|detail|identif|named|contain|includ)\w*\b[^.!?\n]{{0,40}}?\b(?:in|by|within|from) "
    rf"{_GIVEN}{_TEXT}\b",
    r"^[^,.;!?\n]{0,80}\b(?:is|are|was|were|has|have|had) not (?:\w+ly )?(?:been )?(?:mentioned|specified|stated|disclosed|provided|"
    r"indicated|given|reported)\W*$|^\W*not (?:\w+ly )?(?:mentioned|specified|stated|disclosed|provided|indicated|given|available|"
    r"found|reported|known|listed|applicable)\b",
    rf"\b(?:there (?:is|are|was|were)|{_GIVEN}{_TEXT} (?:has|have|had|provides?|contains?|gives?|offers?|includes?)|"
    rf"i (?:see|find|found|have)) (?:no|not any|insufficient|not enough|nothing)(?: \w+){{0,2}}? (?:information|mention|data|"
    rf"details?|references?|answers?|evidence|indications?|figures?|statements?|records? of|about|on|that (?:says|answers))\b",
    rf"^\W*(?:no|insufficient|not enough) (?:\w+ ){{0,3}}(?:information|mention|data|details?|answer|evidence|reference)s?\b",
    rf"\b(?:can(?:not|[\u2019']t| not)|could(?: not|n[\u2019']t)|am unable to|unable to|not able to|impossible to|not possible "
    rf"to) (?:\w+ )?(?:find|determine|answer|locate|tell|identify|provide|infer|say|conclude|be (?:determined|found|answered|"
    rf"inferred))\b",
    rf"\b{_TEXT} (?:is|are|remains?) silent\b|\bmakes? no (?:mention|reference)\b|\bnothing (?:in|is said|about)\b",
    r"\b(?:is|are|was|were|remains?) (?:unknown|unspecified|undisclosed|unstated|unclear from|missing from|absent from)\b",
    r"^\W*(?:i )?(?:do not|don[\u2019']t) know\b|^\W*(?:unknown|unanswerable|not applicable|n/?a|none|null|nil|nothing|"
    r"unspecified|undisclosed|no answer|not given|\?+|-+)\W*$",
)
_OTHERS: Final = (
    # German
    r"\b(?:text|dokument|bericht|abschnitt|passagen?|datei|auszug|unterlagen?|angaben|quelle)\b[^.!?\n]{0,60}\b(?:nicht|kein\w*)\b"
    r"[^.!?\n]{0,60}\b(?:erw\u00e4hnt|genannt|angegeben|enthalten|enth\u00e4lt|hervor|beschrieben|beantwortet|informationen|angaben|"
    r"hinweise?|erw\u00e4hnung|sagt|nennt|steht)\b",
    r"\b(?:wird|werden|ist|sind|wurde) (?:\w+ ){0,6}?nicht (?:erw\u00e4hnt|genannt|angegeben|enthalten|spezifiziert|bekannt)\b",
    r"\b(?:keine|enth\u00e4lt keine) (?:angaben?|informationen?|hinweise?|erw\u00e4hnung)\b|^\W*(?:unbekannt|keine antwort|"
    r"nicht (?:angegeben|bekannt|genannt))\W*$|\b(?:nennt|erw\u00e4hnt|enth\u00e4lt|sagt) (?:[^.!?\n]{0,40} )?(?:nicht|nichts|keine?n?)\b",
    # French
    r"\bne (?:mentionne|pr\u00e9cise|contient|indique|donne|fournit|dit|r\u00e9pond|comporte|figure|traite)\w*\b[^.!?\n]{0,20}\b(?:pas|aucun\w*|rien)\b",
    r"\bn[\u2019'](?:est|a|ont|y a|indique|en|appara\u00eet)\w*\b[^.!?\n]{0,40}\b(?:pas|aucun\w*)\b[^.!?\n]{0,40}"
    r"\b(?:mentionn|pr\u00e9cis|indiqu|fourni|sp\u00e9cifi|information|mention|donn\u00e9e)\w*",
    r"^\W*(?:aucune (?:information|mention|donn\u00e9e|r\u00e9ponse)|non (?:pr\u00e9cis\u00e9|mentionn\u00e9|indiqu\u00e9)e?|inconnue?)\b",
    # Spanish and Portuguese
    r"\bn(?:o|\u00e3o) (?:se )?(?:menciona|especifica|indica|proporciona|contiene|dice|ofrece|detalla|informa|fornece|cont\u00e9m|cita|"
    r"diz|apresenta|responde|incluye|inclui|aparece|consta)\w*\b",
    r"\bn(?:o|\u00e3o) (?:est\u00e1|es|\u00e9|foi|fue|hay|h\u00e1|existe)\w*\b[^.!?\n]{0,30}\b(?:mencionad|especificad|indicad|informa[c\u00e7]|"
    r"disponib|dispon\u00edve|menci[o\u00f3]n|men\u00e7|datos|dados|fornecid|proporcionad)\w*",
    r"^\W*(?:sin informaci\u00f3n|no especificado|no mencionado|desconocido|sem informa\u00e7\u00e3o|n\u00e3o (?:especificado|informado|"
    r"mencionado)|desconhecido)\b",
    # Italian
    r"\bnon (?:viene |vengono |\u00e8 |sono |si )?(?:menzion|specific|indic|fornisc|fornit|contien|contenut|riport|dice|precis|cita|"
    r"rispond|present)\w*|\bnon (?:ci sono|c[\u2019']\u00e8|esist\w+|vi sono) (?:alcun\w* )?(?:informazion|menzion|dat|rifer)\w*"
    r"|^\W*(?:nessuna (?:informazione|menzione)|non specificato|sconosciuto)\b",
    # Dutch
    r"\b(?:wordt|worden|is|zijn|staat|werd) (?:\w+ ){0,6}?niet (?:\w+ )?(?:vermeld|genoemd|gespecificeerd|aangegeven|bekend|in)\b"
    r"|\b(?:tekst|document|passages?|verslag|bestand|rapport)\b[^.!?\n]{0,40}\b(?:vermeldt|noemt|bevat|zegt|geeft)\b[^.!?\n]{0,40}"
    r"\b(?:niet|geen|niets)\b|\bgeen (?:informatie|vermelding|gegevens|antwoord)\b|^\W*(?:onbekend|niet vermeld)\W*$",
    # Chinese and Japanese
    r"(?:\u6ca1\u6709|\u672a|\u5e76\u672a|\u6c92\u6709|\u65e0\u6cd5|\u4e0d)(?:\u660e\u786e|\u5177\u4f53|\u5728\u6587\u4e2d)?(?:\u63d0\u5230|\u63d0\u53ca|\u8bf4\u660e|\u8aaa\u660e|\u63d0\u4f9b|\u6307\u51fa|\u63d0\u4f9b|\u7ed9\u51fa|"
    r"\u786e\u5b9a|\u56de\u7b54|\u5305\u542b|\u627e\u5230|\u8bb0\u8f7d|\u62ab\u9732|\u76f8\u5173)",
    r"(?:\u8a18\u8f09|\u8a00\u53ca|\u60c5\u5831|\u8a18\u8ff0|\u8aac\u660e|\u660e\u8a18|\u7b54\u3048)(?:\u306f|\u304c|\u3082)?(?:[^\u3002\n]{0,12})?(?:\u3042\u308a\u307e\u305b\u3093|\u3042\u308b\u307e\u305b\u3093|\u306a\u3044|\u306a\u304b\u3063\u305f|\u3055\u308c\u3066\u3044"
    r"\u307e\u305b\u3093|\u3055\u308c\u3066\u3044\u306a\u3044|\u898b\u3064\u304b\u308a\u307e\u305b\u3093)|^\W*(?:\u4e0d\u660e|\u4e0d\u8be6|\u672a\u77e5|\u65e0|\u4e0d\u77e5\u9053|\u308f\u304b\u308a\u307e\u305b\u3093)\W*$",
)
_SILENT: Final = re.compile("|".join(f"(?:{pattern})" for pattern in (*_ENGLISH, *_OTHERS)), re.IGNORECASE)

_SENTENCE: Final = re.compile(r"(?<=[.!?:;])\s+|(?<=[\u3002\uff01\uff1f])|\n+")
_BUT: Final = re.compile(
    r"[,;:]?\s+\b(?:but|however|though|although|yet|instead|while|rather|only that|aber|jedoch|sondern|mais|cependant|pero|sino|"
    r"sin embargo|mas|por\u00e9m|ma|per\u00f2|tuttavia|maar|echter)\b|[\uff0c,](?:\u4f46|\u4e0d\u8fc7|\u7136\u800c)|(?:\u304c|\u3051\u3069)\u3001",
    re.IGNORECASE,
)
_ASIDE: Final = re.compile(
    r"\b(?:refer to|consult|check|contact|look (?:at|in)|more information|additional|further|let me know|please|would need|"
    r"it (?:does )?(?:discuss|mention|describe|focus)(?:es|s)?|(?:primarily|mainly|only) (?:discuss|focus|cover|describe|about)\w*|"
    r"based on|according to|if you|therefore|thus|so i|sorry|apologi[sz]e|as (?:a|such)|would be|may be|might be|recommend)\b",
    re.IGNORECASE,
)
"""What is said beside a statement that nothing was found, and tells nothing."""

_FIGURE: Final = re.compile(r"\d")
_MOST: Final = 4_000


def says_nothing(answer: str) -> bool:
    """Tell whether an answer says that what it was asked of is silent, and tells nothing else.

    Examples
    --------
    >>> [says_nothing(said) for said in ("N/A", "The text does not mention it.", "It does not name X, but Y is 5.")]
    [True, True, False]
    """
    text = answer.strip().strip("*_`\"' ")[:_MOST]
    if not text:
        return True
    silent = told = 0
    first: bool | None = None
    for sentence in _SENTENCE.split(text):
        parts = _BUT.split(sentence)
        for part in parts:
            said = part.strip(" \t-*#>")
            if len(said) < 2 and len(parts) > 1:
                continue
            if _SILENT.search(said) is not None:
                silent += 1
                first = True if first is None else first
            elif said and not said.endswith((":", "?")):
                tells = _FIGURE.search(said) is not None or _ASIDE.search(said) is None
                told += tells
                first = False if first is None and tells else first
    if not silent:
        return False
    return told == 0 or (first is True and told <= silent and not _FIGURE.search(_after(text)))


def _after(text: str) -> str:
    """Return what an answer says beside the sentences of silence."""
    parts = (part for sentence in _SENTENCE.split(text) for part in _BUT.split(sentence))
    return " ".join(part for part in parts if _SILENT.search(part) is None)


@dataclass(frozen=True, slots=True)
class FoundCheck(BaseCheck):
    """The answer does not say that what it was asked of is silent."""

    name: str = "found"
    kind: str = field(default="found", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        return self.failed("the answer says that the text does not tell") if says_nothing(answer) else self.passed()
