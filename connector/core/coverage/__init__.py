"""Coverage: what of each bond's day volume the ticks account for, and what is missing.

A tick covers the interval (`ACML_VOL` - `CNTG_VOL`, `ACML_VOL`] of its bond and trade date. A hole
is a stretch of the day's volume that no tick covers. Times are milliseconds since 1970.
"""
