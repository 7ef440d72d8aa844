package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sr"
)

// Tick has the columns that this program uses; hamba/avro skips the others.
//
// A nullable decimal is a **big.Rat. With *big.Rat, hamba/avro reads every yield as 0 and returns no
// error.
type Tick struct {
	ISIN       string    `avro:"STND_ISCD"`
	Price      *big.Rat  `avro:"STCK_PRPR"`
	Yield      **big.Rat `avro:"BOND_CNTG_ERT"`
	Volume     int64     `avro:"CNTG_VOL"`
	DayVolume  int64     `avro:"ACML_VOL"`
	ID         string    `avro:"tick_id"`
	TradeDate  time.Time `avro:"trade_date"`
	TradedAt   time.Time `avro:"traded_at"`
	ReceivedAt time.Time `avro:"received_at"`
	Extra      []string  `avro:"extra"`
}

// Decoder decodes both framings. It keeps the schemas it has seen.
type Decoder struct {
	registry *sr.Client // nil without a registry
	byID     map[int]avro.Schema
	byPrint  map[uint64]avro.Schema
}

// NewDecoder takes the registry's URL, or else the schema files that wrote the ticks.
func NewDecoder(url string, files []string) (*Decoder, error) {
	decoder := &Decoder{byID: map[int]avro.Schema{}, byPrint: map[uint64]avro.Schema{}}
	if url != "" {
		registry, err := sr.NewClient(sr.URLs(url))
		decoder.registry = registry
		return decoder, err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		// A cache of its own: the default one would give the first schema of a name for every other.
		schema, err := avro.ParseBytesWithCache(text, "", &avro.SchemaCache{})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		fingerprint, err := fingerprint(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		decoder.byPrint[fingerprint] = schema
	}
	return decoder, nil
}

// fingerprint returns Avro's fingerprint of a schema, as single-object encoding has it.
//
// Avro leaves logical types out of it, but hamba/avro does not, so they are taken out here.
func fingerprint(text []byte) (uint64, error) {
	var schema any
	if err := json.Unmarshal(text, &schema); err != nil {
		return 0, err
	}
	withoutLogicalTypes(schema)
	bare, err := json.Marshal(schema)
	if err != nil {
		return 0, err
	}
	parsed, err := avro.ParseBytesWithCache(bare, "", &avro.SchemaCache{})
	if err != nil {
		return 0, err
	}
	digest, err := parsed.FingerprintUsing(avro.CRC64AvroLE)
	return binary.LittleEndian.Uint64(digest), err
}

func withoutLogicalTypes(part any) {
	switch part := part.(type) {
	case []any:
		for _, one := range part {
			withoutLogicalTypes(one)
		}
	case map[string]any:
		for _, key := range []string{"logicalType", "precision", "scale"} {
			delete(part, key)
		}
		for _, one := range part {
			withoutLogicalTypes(one)
		}
	}
}

// Decode turns a record's value into a tick.
func (decoder *Decoder) Decode(ctx context.Context, value []byte) (Tick, error) {
	var tick Tick
	schema, datum, err := decoder.writer(ctx, value)
	if err == nil {
		err = avro.Unmarshal(schema, datum, &tick)
	}
	return tick, err
}

func (decoder *Decoder) writer(ctx context.Context, value []byte) (avro.Schema, []byte, error) {
	if len(value) > 10 && value[0] == 0xC3 && value[1] == 0x01 { // single-object encoding
		schema := decoder.byPrint[binary.LittleEndian.Uint64(value[2:10])]
		if schema == nil {
			return nil, nil, fmt.Errorf("no given schema has the fingerprint %x: add it to -schema", value[2:10])
		}
		return schema, value[10:], nil
	}
	if decoder.registry == nil {
		return nil, nil, errors.New("the topic has a registry's framing: give -registry")
	}
	var header sr.ConfluentHeader
	id, datum, err := header.DecodeID(value)
	if err != nil {
		return nil, nil, err
	}
	if schema := decoder.byID[id]; schema != nil {
		return schema, datum, nil
	}
	found, err := decoder.registry.SchemaByID(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	schema, err := avro.ParseWithCache(found.Schema, "", &avro.SchemaCache{})
	decoder.byID[id] = schema
	return schema, datum, err
}

// Records calls do with each record of a topic, from its start to its present end.
func Records(ctx context.Context, brokers []string, topic string, do func(*kgo.Record) error) error {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.KeepControlRecords(), // so that the last offset is seen whatever the last record is
	)
	if err != nil {
		return err
	}
	defer client.Close()
	ends, err := ends(ctx, client, topic)
	if err != nil {
		return err
	}
	for len(ends) > 0 {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return err
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			if record.Offset+1 >= ends[record.Partition] {
				delete(ends, record.Partition)
			}
			if record.Attrs.IsControl() {
				continue
			}
			if err := do(record); err != nil {
				return fmt.Errorf("%s, partition %d, offset %d: %w", topic, record.Partition, record.Offset, err)
			}
		}
	}
	return nil
}

// ends returns the present end of each partition that is not empty.
func ends(ctx context.Context, client *kgo.Client, topic string) (map[int32]int64, error) {
	admin, found := kadm.NewClient(client), map[int32]int64{}
	starts, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	listed, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return nil, err
	}
	listed.Each(func(end kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, end.Partition)
		if end.Offset > start.Offset {
			found[end.Partition] = end.Offset
		}
	})
	return found, errors.Join(starts.Error(), listed.Error())
}

// Ticks calls do with each tick of a topic once.
func Ticks(ctx context.Context, brokers []string, topic string, decoder *Decoder, do func(Tick)) error {
	seen := map[string]bool{} // a program that runs for days keeps the ids of one trade date
	return Records(ctx, brokers, topic, func(record *kgo.Record) error {
		tick, err := decoder.Decode(ctx, record.Value)
		if err == nil && !seen[tick.ID] {
			seen[tick.ID] = true
			do(tick)
		}
		return err
	})
}
