"""Answers written by hand, with what they are: whether one says that the text is silent, and what in it was made up."""

__all__ = ["LATER_SILENT", "LATER_TELLS", "REPORT", "SILENT", "STATED", "TELLS"]

SILENT = """\
The report does not say who signed the lease.
The passages provided do not mention a delivery date.
Nothing in the text indicates when the plant was closed.
I could not find any information about the warranty period in the manual.
The provided context doesn't contain details on the interest rate.
Unfortunately, the excerpt does not specify the number of employees.
This information is not available in the given document.
There is no mention of a chief engineer in these minutes.
The filing is silent on the matter.
It is not stated in the article.
Not mentioned.
Not provided in the document
No information is given about the price.
Insufficient information to answer the question.
The answer cannot be determined from the passages.
Based on the provided text, it is not possible to determine the amount.
The document does not disclose the purchase price. For the exact amount, please consult the full annual report.
The author never names the captain's ship.
I'm sorry, but the text does not give the year of the treaty.
The contract doesn't address subletting.
The date is not specified in the excerpt.
Sorry, I was unable to find the name of the auditor in the passages.
I don't know based on the text.
**Not specified in the context.**
n/a
None
The passage discusses revenue growth, but it does not provide a figure for the third quarter.
The text mentions the merger but does not say when it closed.
While the report covers the project at length, no budget is given in the document.
The minutes do not record any vote on the matter.
The log does not show which service failed first.
We are not told how old the king was in this chapter; the passage does not say.
Der Bericht enth\u00e4lt keine Angaben zur Zahl der Mitarbeiter.
Das geht aus dem Text nicht hervor.
Dazu gibt es im Dokument keine Informationen.
Der Name des Kapit\u00e4ns wird nicht genannt.
Le texte ne pr\u00e9cise pas la date de la r\u00e9union.
Le rapport ne contient aucune information sur les b\u00e9n\u00e9fices.
Cette information n'est pas mentionn\u00e9e dans le document.
El texto no indica cu\u00e1ntos empleados hay.
No hay informaci\u00f3n sobre el precio en los pasajes.
El contrato no especifica la duraci\u00f3n.
Il documento non specifica la data.
Non ci sono informazioni sul prezzo nel testo.
O texto n\u00e3o menciona o nome do diretor.
N\u00e3o h\u00e1 informa\u00e7\u00e3o sobre o assunto no documento.
Het document vermeldt de prijs niet.
Er staat geen informatie over de datum in de tekst.
\u6587\u4ef6\u4e2d\u672a\u63d0\u53ca\u8be5\u91d1\u989d\u3002
\u6839\u636e\u6240\u7ed9\u6587\u672c\uff0c\u65e0\u6cd5\u786e\u5b9a\u7b54\u6848\u3002
\u6587\u66f8\u306b\u306f\u305d\u306e\u65e5\u4ed8\u306b\u3064\u3044\u3066\u306e\u8a18\u8f09\u304c\u3042\u308a\u307e\u305b\u3093\u3002
\u672c\u6587\u3067\u306f\u8a00\u53ca\u3055\u308c\u3066\u3044\u307e\u305b\u3093\u3002
The price isn't given anywhere.
That detail is missing from the excerpt.
The record contains no answer to this.
Nobody says so in the text, and the passages do not identify the speaker.""".splitlines()

TELLS = """\
The lease was signed by Maria Holt.
Delivery is due on 14 May.
The plant was closed in 1998.
The warranty runs for two years and does not cover batteries.
The interest rate is 4.5%, and it does not change.
There were 312 employees; the report does not break this down by country.
The text does not mention Holt by name but says that the manager signed, on 3 March.
No.
No, the tenant may not sublet.
No one was hurt.
None of the directors voted against.
The board did not approve the merger.
He never told his wife about the letter.
The company has no debt.
There is no fee for the first year.
Nothing: the fee was waived.
The service cannot be used offline.
The price is not negotiable.
The engine is not available in red.
They could not find the treasure, since the map was burnt.
The king was unknown to the villagers.
The contract ends on 31 December unless notice is given.
The speaker is not the author; it is his brother.
Article 4 provides no exception for minors, so they are bound too.
The court found no evidence of fraud.
The witness said that she did not know.
Sales were not reported for Q3, but for Q2 they were $4.1 million.
The document says "not applicable" in box 4, and $200 in box 5.
It failed because the disk was full.
The auth service failed first, at 02:14; no other service is mentioned before it.
Unknown callers are blocked by default.
Yes.
42
$3.7 million
Paris
A, B and C
The first one to fail was the database, which is not named in the summary but stands in line 12 as db-3.
She has not been seen since 1944.
The text states that no dividend was paid.
The report says that profits did not include the sale of the plant.
Der Vertrag endet am 1. Mai.
Die Firma hat keine Schulden.
Der Vorstand hat nicht zugestimmt.
Le contrat prend fin le 1er mai.
La soci\u00e9t\u00e9 n'a pas de dettes.
El director no vot\u00f3.
La empresa no tiene deudas.
Il contratto non prevede penali: scade il 3 maggio.
O conselho n\u00e3o aprovou a fus\u00e3o.
Het bedrijf heeft geen schulden.
\u516c\u53f8\u6ca1\u6709\u503a\u52a1\u3002
\u53d6\u7de0\u5f79\u4f1a\u306f\u5408\u4f75\u3092\u627f\u8a8d\u3057\u307e\u305b\u3093\u3067\u3057\u305f\u3002
It does not rain there in July, according to the guide.
The engineers were not informed until Friday.
Revenue did not grow: it was $12 million in both years.
The letter is not signed.""".splitlines()

REPORT = """\
Annual report. Amounts in thousands of US dollars unless stated otherwise. Revenue 48,445 (prior year 44,210). Net loss
(3,712). Cash and cash equivalents 12,345. Gross margin was 45.3%. We had 1,204 employees at year end, of whom 212 work
in Hamburg. The lease in Oslo costs $1.25 million a year until 2031. The chair said: \u201cWe spent more than we should have
on the new plant, and we will not do so again.\u201d In Germany sales came to 7.345,20 EUR per head. Interest is 4.75 per
cent. On 14 May 2024 the board approved a buy-back of up to $25,000,000. The plant makes 86 units an hour."""

STATED = [
    # answer, question, what `quoted` should say
    ("Revenue was $48,445 thousand.", "What was revenue?", "pass"),
    ("Revenue was $48.4 million.", "What was revenue?", "pass"),
    ("Revenue was $48,445,000.", "What was revenue?", "pass"),
    ("Revenue was 48445.", "What was revenue?", "pass"),
    ("The net loss was $3.7 million.", "Net loss?", "pass"),
    ("A net loss of $3,712 thousand", "Net loss?", "pass"),
    ("Cash: $12.3 million", "Cash?", "pass"),
    ("45.3%", "Gross margin?", "pass"),
    ("About 45%", "Gross margin?", "pass"),
    ("1,204 employees", "How many employees?", "pass"),
    ("1204", "How many employees?", "pass"),
    ("212 of them work in Hamburg.", "How many work in Hamburg?", "pass"),
    ("$1,250,000 a year", "What does the lease cost?", "pass"),
    ("7,345.20 euros per head", "Sales in Germany?", "pass"),
    ("4.75%", "Interest?", "pass"),
    ("Up to $25 million", "How large is the buy-back?", "pass"),
    ("86 units an hour", "How much does the plant make?", "pass"),
    ("1. Revenue: 48,445\n2. Cash: 12,345", "Revenue and cash?", "pass"),
    ("Revenue rose from 44,210 to 48,445, by 4,235.", "How did revenue develop?", "pass"),
    ('The chair said "we spent more than we should have on the new plant".', "What did the chair say?", "pass"),
    ("\u201cWe spent more ... and we will not do so again\u201d", "What did the chair say?", "pass"),
    ("Of 1,204 employees 212 work in Hamburg, 17.6%.", "How many work in Hamburg?", "pass"),
    ("1.204 Mitarbeiter", "Wie viele Mitarbeiter?", "pass"),
    ("48.445 Tsd. US-Dollar", "Umsatz?", "pass"),
    ("Approved on 14 May 2024: up to $25,000,000", "Buy-back?", "pass"),
    ("Revenue was $84,445 thousand.", "What was revenue?", "fail"),
    ("Revenue was $52.1 million.", "What was revenue?", "fail"),
    ("The net loss was $4.2 million.", "Net loss?", "fail"),
    ("Cash: $13.2 million", "Cash?", "fail"),
    ("54.3%", "Gross margin?", "fail"),
    ("1,240 employees", "How many employees?", "fail"),
    ("1350", "How many employees?", "fail"),
    ("221 of them work in Hamburg.", "How many work in Hamburg?", "fail"),
    ("$1,520,000 a year", "What does the lease cost?", "fail"),
    ("7,543.20 euros per head", "Sales in Germany?", "fail"),
    ("5.75%", "Interest?", "fail"),
    ("Up to $250 million", "How large is the buy-back?", "fail"),
    ("96 units an hour", "How much does the plant make?", "fail"),
    ('The chair said "we spent less than we should have on the new plant".', "What did the chair say?", "fail"),
    ("\u201cWe regret nothing about the new plant\u201d", "What did the chair say?", "fail"),
    ("$48.45 billion", "What was revenue?", "fail"),
    ("Revenue was 48,445 and operating income 9,871.", "Revenue and operating income?", "fail"),
    ("Revenue grew by 9.58%.", "By what percentage did revenue grow?", "abstain"),
    ("The difference is 8,633.", "What is the difference between cash and net loss?", "abstain"),
    ("In total 16,057", "What do cash and net loss come to in total?", "abstain"),
    ("The lease ends in 2031.", "When does the lease end?", "abstain"),
    ("Hamburg and Oslo", "Which towns are named?", "abstain"),
    ("There are 2 towns.", "How many towns?", "abstain"),
    ("Yes.", "Was there a loss?", "abstain"),
]

LATER_SILENT = """\
The context you gave me says nothing about refunds.
I'm afraid the passages don't include the closing price.
Nowhere in the document is the founder named.
There is not enough context to answer this.
The notes do not tell us what happened to the ship.
The exact date has not been disclosed in the filing.
It cannot be determined from the given information.
We cannot tell from the excerpt.
Unable to determine.
The relevant section was not included in the passages.
The provided text ends before the result is given.
No such clause is mentioned in the agreement.
The report omits this figure.
The question is not answered by the passages.
Darüber steht in den Auszügen nichts.
Aucun passage ne mentionne ce nom.
Esta información no aparece en el documento.
La risposta non è presente nel testo.
A informação não consta do documento.
资料中没有相关信息。""".splitlines()
"""Written once the wordings of `found` stood, which were not changed for them."""

LATER_TELLS = """\
The agreement does not allow refunds.
The closing price was 12.40.
The founder was never named chairman.
There was not enough food for the winter.
The ship sank; nobody was told.
It was disclosed on 4 May.
We cannot tell lies, the boy says in the end.
The section was struck out by the court.
The result was a draw.
The tenant may not mention the rent to others.
He does not say goodbye.
The report was not published until 2019.
The letter was not sent.
The data were not encrypted.
Die Firma nennt keine Namen.
Le rapport n'a pas été publié avant mai.
El informe se publicó en mayo.
Il libro non è in vendita.
O documento foi assinado em 3 de maio.
这份报告没有公布。""".splitlines()
