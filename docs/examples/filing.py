"""Print a made-up annual report of so many thousand tokens (131): long, dull, and with few answers in it.

python docs/examples/filing.py > 10k.txt
python docs/examples/filing.py 14 > filing.txt
"""

import random
import sys

SEGMENTS = ("Bridges", "Tunnels", "Harbours", "Signals", "Maintenance")
PLACES = ("Vienna", "Nairobi", "Oslo", "Lima", "Osaka", "Porto", "Gdansk", "Hobart")
NOTES = """
In {place} the {segment} segment worked on {n} contracts, of which {few} are to be finished in the year that follows;
retentions of ${money} thousand are held by customers until the works have been accepted.

Management reviewed the estimates of the {segment} segment for {place} and found no reason to change them. A shift of
{few} per cent in the price of steel would change the result by ${money} thousand.

Leases in {place} run for {few} years on average. The right to use {n} pieces of equipment of the {segment} segment
is carried at ${money} thousand and written down evenly.

The {segment} segment has {n} employees in {place}. Contributions to their pensions came to ${money} thousand, and
{few} of them left under a plan that had been agreed before.

A customer of the {segment} segment in {place} disputes {few} invoices over ${money} thousand in all. Counsel takes
the claim for weak, and nothing was set aside for it.
"""
ANSWERS = """
Net loss. The group's net loss was $41.7 million in 2022, after a net income of $12.3 million in 2021; the loss is
due to the tunnel at Lima, which was written down by $58 million.

Borrowings. The term loan of $220 million matures on 30 June 2027 and bears interest at 5.4 per cent; the covenant
asks for a ratio of net debt to earnings below 3.5.

Auditors. The fees of the auditor were $1.9 million, of which $0.3 million were for advice on taxes.
"""


def main() -> None:
    """Print the report."""
    draw = random.Random(0)
    notes, answers = NOTES.strip().split("\n\n"), ANSWERS.strip().split("\n\n")
    n = round(float(sys.argv[1] if len(sys.argv) > 1 else 131) * 22.2)
    for i in range(n):
        if i % 12 == 0:
            print(f"{i // 12 + 1}. Notes on {draw.choice(SEGMENTS)}, {draw.choice(PLACES)}\n")
        note = draw.choice(notes).format(
            segment=draw.choice(SEGMENTS),
            place=draw.choice(PLACES),
            n=draw.randint(20, 900),
            few=draw.randint(2, 9),
            money=f"{draw.randint(100, 9999):,}",
        )
        print(note + "\n")
        if i * 4 // n < (i + 1) * 4 // n and answers:
            print(answers.pop(0) + "\n")


if __name__ == "__main__":
    main()
