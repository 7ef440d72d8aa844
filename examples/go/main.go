// Program bond-ticks reads the topics of kis-bond-connector.
//
// "bond-ticks windows" prints one-minute windows: ISIN, start in UTC, open, high, low, close, volume,
// trades, notional. "bond-ticks status" prints how many ticks of each bond came in which state of the
// bond: ISIN, state, ticks.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"
)

func main() {
	flags := flag.NewFlagSet("bond-ticks windows|status", flag.ExitOnError)
	brokers := flags.String("brokers", "localhost:9092", "Kafka's addresses, by commas")
	ticks := flags.String("ticks", "bond.ticks", "the topic of ticks")
	status := flags.String("status", "bond.subscriptions.status", "the topic of status records")
	registry := flags.String("registry", "", "the registry's URL; without it, single-object encoding is read")
	schemas := flags.String("schema", "bond_tick.avsc", "without a registry: files of all schemas that wrote ticks, by commas")
	if len(os.Args) < 2 {
		flags.Usage()
		os.Exit(2)
	}
	_ = flags.Parse(os.Args[2:])
	decoder, err := NewDecoder(*registry, strings.Split(*schemas, ","))
	if err == nil {
		ctx, addresses := context.Background(), strings.Split(*brokers, ",")
		switch os.Args[1] {
		case "windows":
			err = windows(ctx, addresses, *ticks, decoder)
		case "status":
			err = states(ctx, addresses, *ticks, *status, decoder)
		default:
			err = fmt.Errorf("no command %q: windows or status", os.Args[1])
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
