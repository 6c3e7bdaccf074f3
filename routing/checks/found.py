"""Whether an answer says that the text is silent: "the document does not mention", "not specified", "no information".

What says nothing else has failed; an answer that says so of one thing and tells another has not, where what it tells is
more than what it misses. Nine languages, by wordings of our own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from .base import NOTHING, BaseCheck, Given, Verdict

__all__ = ["FoundCheck", "says_nothing"]


def _any(*words: str) -> str:
    """Return what matches one of some words or phrases, given as texts of words between blanks."""
    return f"(?:{'|'.join(word for text in words for word in text.split())})"


def _joined(*parts: str) -> str:
    """Return a pattern that is written in several parts."""
    return "".join(parts)


_TEXT: Final = _joined(
    _any(
        "text document file passage excerpt context report filing article paper material source section content",
        "information data contract minutes transcript book story log page statement piece snippet table record author",
        "manual speech notes guide letter paragraph chapter email memo release brochure question diary interview",
    ),
    "s?",
)
_GIVEN: Final = r"(?:the |this |these |any |your )?(?:(?:provided|given|supplied|above|available|attached|quoted) )*"
_APOS: Final = "['\u2019]"
_NOT: Final = _joined(
    r"(?:(?:does|do|did|is|are|was|were) not",
    rf"|(?:doesn|don|didn|isn|aren|wasn|weren){_APOS}t",
    rf"|never|fails? to|cannot be|can{_APOS}t be|could not be|not)",
)
_TELLS: Final = _joined(
    _any(
        "mention specify specified specifies state say provide contain include indicate discuss address disclose give",
        "given list reveal describe tell answer explain offer supply report detail identify identified name note cover",
        "show found find determined available present record",
    ),
    "(?:s|d|ed|n)?",
)
_TOLD: Final = _any("mentioned specified stated disclosed provided indicated given reported")
_SAID: Final = _joined(
    _any(
        "mention specif stat provid disclos discuss address indicat list given found available present reveal report",
        "describ detail identif named contain includ",
    ),
    r"\w*",
)
_WHAT: Final = _joined(
    r"(?:information|mention|data|details?|references?|answers?|evidence|indications?|figures?|statements?",
    r"|records? of|about|on|that (?:says|answers))",
)
_LEARN: Final = _any("find determine answer locate tell identify provide infer say conclude")

_ENGLISH: Final = (
    _joined(
        rf"\b{_GIVEN}{_TEXT}\b(?:(?!\b(?:says?|states?|notes?|shows?|that|which)\b)[^.!?\n]){{0,60}}?",
        rf"\b{_NOT}\b(?: \w+ly)? (?:\w+ ){{0,2}}?{_TELLS}\b",
    ),
    rf"(?:^\W*|\b(?:it|they) ){_NOT} (?:\w+ly )?(?:provide|mention|specify|state|say|give|indicate|disclose|name)s?\b",
    _joined(
        rf"\b{_NOT} (?:\w+ly )?(?:been )?{_SAID}\b",
        rf"(?:[^.!?\n]{{0,40}}?\b(?:in|by|within|from) {_GIVEN}{_TEXT}\b|\W*\banywhere\b)",
    ),
    rf"\b{_TEXT} (?:(?:gives?|provides?|offers?|says?|tells?|makes?) (?:no|nothing|us nothing)|lacks? any)\b",
    rf"\bnot (?:something|what) {_GIVEN}{_TEXT}\b|\b{_NOT} allow (?:me|us|one) to {_LEARN}\b",
    rf"\bno (?:\w+ ){{1,3}}(?:is|are|was|were) {_TOLD}\b|\b(?:we|i) (?:are|am) not told\b",
    rf"^[^,.;!?\n]{{0,80}}\b(?:is|are|was|were|has|have|had) not (?:\w+ly )?(?:been )?{_TOLD}\W*$",
    rf"^\W*not (?:\w+ly )?(?:{_TOLD}|available|found|known|listed|applicable)\b",
    _joined(
        rf"\b(?:there(?: is| are| was| were|{_APOS}s)",
        rf"|{_GIVEN}{_TEXT} (?:ha[sd]|have|provides?|contains?|gives?|offers?|includes?)",
        rf"|i (?:see|find|found|have)) (?:no|not any|insufficient|not enough|nothing)(?: \w+){{0,2}}? {_WHAT}\b",
    ),
    _joined(
        r"^\W*(?:no|insufficient|not enough) (?:\w+ ){0,3}(?:information|mention|data|details?|answer|evidence)",
        r"(?: (?:is|was|are|can|could|about|on|in|for|of|to|that|found|given|available|regarding)\b|\W*$)",
    ),
    _joined(
        r"(?:^\W*|\b(?:i|we|sorry|but|it|answer|amount|date|name|this|that) (?:was |am |were |is |are )?)",
        rf"(?:can(?:not|{_APOS}t| not)|could(?: not|n{_APOS}t)|unable to|not able to|(?:im|not )possible to) ",
        rf"(?:\w+ )?(?:{_LEARN}|be (?:determined|found|answered|inferred))\b",
    ),
    rf"\b{_TEXT} (?:is|are|remains?) silent\b|\bmakes? no (?:mention|reference)\b|\bnothing (?:in|is said|about)\b",
    _joined(
        rf"(?:\b(?:is|are|was|were|remains?)|{_APOS}s) ",
        r"(?:unknown(?! to)|unspecified|undisclosed|(?:unclear|missing|absent) from)\b",
    ),
    _joined(
        rf"^\W*(?:i )?(?:do not|don{_APOS}t) know\b",
        r"|^\W*(?:unknown|unanswerable|not applicable|n/?a|none|null|nil|nothing|unspecified|undisclosed)\W*$",
        r"|^\W*(?:no answer|\?+|-+)\W*$",
    ),
)
_GERMAN: Final = (
    _joined(
        r"\b(?:text|dokument|bericht|abschnitt|passagen?|datei|auszug|unterlagen?|angaben|quelle)\b[^.!?\n]{0,60}",
        r"\b(?:nicht|kein\w*)\b[^.!?\n]{0,60}\b(?:erwähnt|genannt|angegeben|enthalten|enthält|hervor|beschrieben",
        r"|beantwortet|informationen|angaben|hinweise?|erwähnung|sagt|nennt|steht)\b",
    ),
    _joined(
        r"\b(?:wird|werden|ist|sind|wurde) (?:\w+ ){0,6}?nicht ",
        r"(?:erwähnt|genannt|angegeben|enthalten|spezifiziert|bekannt)\b",
    ),
    r"\b(?:keine|enthält keine) (?:angaben?|informationen?|hinweise?|erwähnung)\b",
    r"^\W*(?:unbekannt|keine antwort|nicht (?:angegeben|bekannt|genannt))\W*$",
    r"\b(?:enthält|sagt|steht)\b[^.!?\n]{0,60}\bnichts\b[^.!?\n]{0,40}$",
    r"\b(?:text|dokument|bericht|er|es) (?:nennt|erwähnt|enthält|sagt) (?:[^.!?\n]{0,40} )?(?:nicht|nichts|keine?n?)\b",
)
_FRENCH: Final = (
    _joined(
        r"\b(?:texte|document|passages?|rapport|extrait|article|contexte|contrat|livre|il|elle|cela)\b[^.!?\n]{0,30}",
        r"\bne (?:mentionne|précise|contient|indique|donne|fournit|dit|répond|comporte|figure|traite)\w*\b",
        r"[^.!?\n]{0,20}\b(?:pas|aucun\w*|rien)\b",
    ),
    _joined(
        rf"\bn{_APOS}(?:est|a|ont|y a|indique|en|apparaît)\w*\b[^.!?\n]{{0,40}}\b(?:pas|aucun\w*)\b[^.!?\n]{{0,40}}",
        r"\b(?:mentionn|précis|indiqu|fourni|spécifi|information|mention|donnée)\w*",
    ),
    _joined(
        r"^\W*(?:aucune (?:information|mention|donnée|réponse)|non (?:précisé|mentionné|indiqué)e?)\b",
        r"|^\W*inconnue?\W*$",
    ),
)
_IBERIAN: Final = (
    _joined(
        r"\b(?:texto|documento|informe|relatório|pasajes?|trechos?|archivo|contexto|contrato",
        r"|libro|livro|artículo|artigo)\b[^.!?\n]{0,40}\bn(?:o|ão) ",
        r"(?:se )?(?:menciona|especifica|indica|proporciona|contiene|dice|ofrece|detalla|informa|fornece|contém|cita",
        r"|diz|apresenta|responde|incluye|inclui)\w*\b",
    ),
    _joined(
        r"\bn(?:o|ão) se (?:menciona|especifica|indica|informa|detalla|proporciona|dice|encuentra|encontra)\w*\b",
        r"|\bn(?:o|ão) (?:aparece|consta|figura) en? ",
    ),
    _joined(
        r"\bn(?:o|ão) (?:está|es|é|foi|fue|hay|há|existe)\w*\b[^.!?\n]{0,30}\b(?:mencionad|especificad|indicad",
        r"|informa[cç]|dispon[ií]|menci[oó]n|menç|datos|dados|fornecid|proporcionad)\w*",
    ),
    _joined(
        r"^\W*(?:sin información|no especificad[oa]|no mencionad[oa]|sem informação",
        r"|não (?:especificad|informad|mencionad)[oa])\b|^\W*(?:desconocid|desconhecid)[oa]\W*$",
    ),
)
_ITALIAN: Final = (
    _joined(
        r"\bnon (?:viene |vengono |è |sono |si )?(?:menzion|specific|indic|fornisc|fornit|contien|contenut|riport",
        r"|precis|rispond)\w*",
    ),
    rf"\bnon (?:ci sono|c{_APOS}è|esist\w+|vi sono) (?:alcun\w* )?(?:informazion|menzion|dat|rifer)\w*",
    r"^\W*(?:nessuna (?:informazione|menzione)|non specificato)\b|^\W*sconosciuto\W*$",
)
_DUTCH: Final = (
    _joined(
        r"\b(?:wordt|worden|is|zijn|staat|werd) (?:\w+ ){0,6}?niet (?:\w+ )?",
        r"(?:vermeld|genoemd|gespecificeerd|aangegeven|bekend)\b",
    ),
    _joined(
        r"\b(?:tekst|document|passages?|verslag|bestand|rapport)\b[^.!?\n]{0,40}\b(?:vermeldt|noemt|bevat|zegt|geeft)\b",
        r"[^.!?\n]{0,40}\b(?:niet|geen|niets)\b|\bgeen (?:informatie|vermelding|gegevens|antwoord)\b",
    ),
    r"^\W*(?:onbekend|niet vermeld)\W*$",
)
_CHINESE: Final = (
    _joined(
        r"(?:没有|未|并未|沒有|无法|無法)(?:明确|具体|在文中|直接)?",
        r"(?:提到|提及|说明|說明|提供|指出|给出|确定|包含|找到|记载|披露|相关信息|涉及)",
    ),
    r"(?:无法|無法)(?:直接)?回答|^\W*(?:不明|不详|未知|无|不知道)\W*$",
)
_JAPANESE: Final = (
    _joined(
        r"(?:記載|言及|情報|記述|説明|明記|答え)(?:は|が|も)?[^。\n]{0,12}?",
        r"(?:ありません|あるません|ない|なかった|されていません|見つかりません)",
    ),
    r"^\W*わかりません\W*$",
)


@cache
def _silent() -> re.Pattern[str]:
    """Return what says that a text is silent; it takes milliseconds to compile, and few commands ask."""
    wordings = (*_ENGLISH, *_GERMAN, *_FRENCH, *_IBERIAN, *_ITALIAN, *_DUTCH, *_CHINESE, *_JAPANESE)
    return re.compile("|".join(f"(?:{pattern})" for pattern in wordings), re.IGNORECASE)


_SENTENCE: Final = re.compile(r"(?<=[.!?:;])\s+|(?<=[。\uff01\uff1f])|\n+")


@cache
def _but() -> re.Pattern[str]:
    """Return what parts a statement from what is said against it."""
    return re.compile(
        _joined(
            r"[,;:]?\s+\b(?:but|however|though|although|yet|instead|while|rather|only that|aber|jedoch|sondern|mais",
            r"|cependant|pero|sino|sin embargo|mas|porém|ma|però|tuttavia|maar|echter)\b",
            r"|[\uff0c,](?:但|不过|然而)|(?:が|けど)、",
        ),
        re.IGNORECASE,
    )


@cache
def _aside() -> re.Pattern[str]:
    """Return what is said beside a statement that nothing was found, and tells nothing."""
    return re.compile(
        _joined(
            r"\b(?:refer to|consult|check|contact|look (?:at|in)|more information|additional|further|let me know",
            r"|please",
            rf"|{_TEXT} (?:does )?(?:discuss|mention|cover|describe|focus|talk)\w*",
            r"|would need|it (?:does )?(?:discuss|mention|describe|focus)(?:es|s)?",
            r"|(?:primarily|mainly|only) (?:discuss|focus|cover|describe|about)\w*|based on|according to|if you",
            r"|therefore",
            r"|thus|so i|sorry|apologi[sz]e|as (?:a|such)|would be|may be|might be|recommend)\b",
        ),
        re.IGNORECASE,
    )


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
    if not re.search(r"\w", text):
        return True
    silent = False
    for sentence in _SENTENCE.split(text):
        parts = _but().split(sentence)
        for part in parts:
            said = part.strip(" \t-*#>")
            if len(said) < 2 and len(parts) > 1:
                continue
            if _silent().search(said) is not None:
                silent = True
            elif said and not said.endswith((":", "?")) and (_FIGURE.search(said) or not _aside().search(said)):
                return False
    return silent


@dataclass(frozen=True, slots=True)
class FoundCheck(BaseCheck):
    """The answer does not say that what it was asked of is silent."""

    name: str = "found"
    kind: str = field(default="found", init=False)

    def test(self, answer: str, given: Given = NOTHING) -> Verdict:
        """Return the verdict on an answer."""
        del given
        return self.failed("the answer says that the text does not tell") if says_nothing(answer) else self.passed()
