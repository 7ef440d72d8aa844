-- How many ticks of each bond came in which state of the bond: the latest status record that was
-- written when the tick was received.
-- By received_at, and not by traded_at: that has whole seconds, so a bond's first trade may be older
-- than its ACTIVE.
SELECT trade.isin, if(status.state = '', 'UNKNOWN', status.state) AS state, count() AS ticks
FROM bond_trades AS trade
ASOF LEFT JOIN bond_status AS status
ON trade.isin = status.isin AND trade.received_at >= status.updated_at
GROUP BY trade.isin, state
ORDER BY trade.isin, state
