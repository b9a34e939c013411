"""By when a subject has to be told what is done about its request: GDPR, Art. 12(3).

"Without undue delay and in any event within one month of receipt." A month is one of the
calendar's, counted to the same time of the same day in the next one, or of its last day where it
has no such day. (The rules of the Union for counting periods would give the rest of that day as
well.)
"""

import calendar
from datetime import UTC, datetime


def one_month_after(received_at_ms: int) -> int:
    """The end of the month that begins then; both are Unix ms, and months are those of UTC."""
    received = datetime.fromtimestamp(received_at_ms / 1000, UTC)
    year, month = divmod(received.year * 12 + received.month, 12)
    day = min(received.day, calendar.monthrange(year, month + 1)[1])
    end = received.replace(year=year, month=month + 1, day=day)
    return received_at_ms + round((end - received).total_seconds()) * 1000
