package main

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"time"
)

type window struct {
	isin  string
	start time.Time
}

func windows(ctx context.Context, brokers []string, topic string, decoder *Decoder) error {
	trades := map[window][]Tick{}
	err := Ticks(ctx, brokers, topic, decoder, func(tick Tick) {
		// Event time is when the trade was made. It has whole seconds.
		key := window{tick.ISIN, tick.TradedAt.UTC().Truncate(time.Minute)}
		trades[key] = append(trades[key], tick)
	})
	for key, ticks := range trades {
		// The topic's order is not the order of the trades: the day's volume is.
		slices.SortFunc(ticks, func(a, b Tick) int {
			if byDate := a.TradeDate.Compare(b.TradeDate); byDate != 0 {
				return byDate
			}
			return int(a.DayVolume - b.DayVolume)
		})
		first, last := ticks[0].Price, ticks[len(ticks)-1].Price
		high, low, volume, notional := first, first, int64(0), new(big.Rat)
		for _, tick := range ticks {
			if tick.Price.Cmp(high) > 0 {
				high = tick.Price
			}
			if tick.Price.Cmp(low) < 0 {
				low = tick.Price
			}
			volume += tick.Volume
			notional.Add(notional, new(big.Rat).Mul(tick.Price, new(big.Rat).SetInt64(tick.Volume)))
		}
		fmt.Printf("%s|%s|%s|%s|%s|%s|%d|%d|%s\n", key.isin, key.start.Format(time.DateTime),
			first.FloatString(4), high.FloatString(4), low.FloatString(4), last.FloatString(4),
			volume, len(ticks), notional.FloatString(4))
	}
	return err
}
