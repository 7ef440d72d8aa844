package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type state struct {
	from time.Time
	name string
}

// states joins each tick with the latest status record that was written when the tick was received.
func states(ctx context.Context, brokers []string, ticks, status string, decoder *Decoder) error {
	histories := map[string][]state{}
	err := Records(ctx, brokers, status, func(record *kgo.Record) error {
		isin, isBond := strings.CutPrefix(string(record.Key), "instrument/")
		if !isBond { // list/<name> or slot/<k>
			return nil
		}
		var value struct{ State string }
		if record.Value == nil { // a tombstone says that the bond is not wanted any more
			value.State = "UNWANTED"
		} else if err := json.Unmarshal(record.Value, &value); err != nil {
			return err
		}
		histories[isin] = append(histories[isin], state{record.Timestamp, value.State})
		return nil
	})
	if err != nil {
		return err
	}
	counts := map[[2]string]int{}
	err = Ticks(ctx, brokers, ticks, decoder, func(tick Tick) {
		// The topic is compacted: of a long history only the latest record is certain to be there.
		found := "UNKNOWN"
		for _, one := range histories[tick.ISIN] {
			// Not TradedAt: that has whole seconds, so a bond's first trade may be older than its ACTIVE.
			if !one.from.After(tick.ReceivedAt) {
				found = one.name
			}
		}
		counts[[2]string{tick.ISIN, found}]++
	})
	for key, number := range counts {
		fmt.Printf("%s|%s|%d\n", key[0], key[1], number)
	}
	return err
}
