// Package nexmark is the Nexmark benchmark: the events of an auction house, and
// queries on them.
//
// The model and the queries are those of Tucker, Tufte, Papadimos, Maier: "NEXMark –
// A Benchmark for Queries over Data Streams" (2002), with the proportions, the hot
// keys and the queries above q8 as Apache Beam and the Nexmark suite for Flink have
// them. Here a person and an auction are actors, and a bid is an event of its
// auction. The time of Nexmark's dateTime is the event's own, event_time.
//
//	nexmark.go   the generator: one seed, one sequence of events
//	queries.go   the schema and q0 to q22
package nexmark

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"actordb/core"
)

// Of every 50 events one is a person's, three are auctions that open, 46 are bids.
const (
	personPart  = 1
	auctionPart = 3
	epochEvents = 50
)

// Numbers of Beam's generator.
const (
	firstPerson   = 1000
	firstAuction  = 1000
	firstCategory = 10
	categories    = 5
	activePersons = 1000 // who bid and sell
	inFlight      = 100  // auctions that are bid on
	hotKeys       = 100  // one auction and one seller of so many is hot
	hotAuction    = 2    // 1 of so many bids is not for a hot auction,
	hotSeller     = 4    // 1 of so many auctions not a hot seller's,
	hotBidder     = 4    // 1 of so many bids not a hot bidder's,
	hotChannel    = 2    // and 1 of so many not by a well-known channel
	channels      = 10_000
)

// Config of a generator. The zero value is Beam's default, without delays.
type Config struct {
	Seed  uint64
	Start core.Timestamp // of the first event
	// Every is the time from event to event; 0: 100 µs, which is 10,000 a second.
	Every core.Timestamp
	// Delayed is one in how many events comes late, by up to DelayMax; 0: none.
	Delayed  int
	DelayMax core.Timestamp
}

// An Event is what happened to an actor, ready to be appended to its history.
type Event struct {
	Actor core.ActorID
	core.NewEvent
}

// A Generator makes events, in the order in which they arrive.
type Generator struct {
	cfg     Config
	rand    *rand.Rand
	n       int64 // events so far
	delayed delays
}

// New makes a generator.
func New(cfg Config) *Generator {
	if cfg.Every == 0 {
		cfg.Every = 100_000
	}
	return &Generator{cfg: cfg, rand: rand.New(rand.NewPCG(cfg.Seed, 0x6e65786d61726b))}
}

// Next is the event that arrives next. Its payload is its own.
func (g *Generator) Next() Event {
	for {
		now := g.cfg.Start + core.Timestamp(g.n)*g.cfg.Every
		if e, ok := g.delayed.due(now); ok {
			return e
		}
		e := g.make(g.n, now)
		g.n++
		if g.cfg.Delayed == 0 || g.rand.IntN(g.cfg.Delayed) != 0 {
			return e
		}
		g.delayed.hold(now+1+core.Timestamp(g.rand.Int64N(int64(max(g.cfg.DelayMax, 1)))), e)
	}
}

// make makes the n-th event.
func (g *Generator) make(n int64, at core.Timestamp) Event {
	switch at2 := n % epochEvents; {
	case at2 < personPart:
		return g.person(n, at)
	case at2 < personPart+auctionPart:
		return g.auction(n, at)
	}
	return g.bid(n, at)
}

// lastPerson is the number, from 0, of the last person by the n-th event.
func lastPerson(n int64) int64 { return n/epochEvents*personPart + min(n%epochEvents, personPart-1) }

// lastAuction is that of the last auction, -1 before the first.
func lastAuction(n int64) int64 {
	epoch, offset := n/epochEvents, n%epochEvents-personPart
	if offset < 0 {
		return epoch*auctionPart - 1
	}
	return epoch*auctionPart + min(offset, auctionPart-1)
}

func (g *Generator) person(n int64, at core.Timestamp) Event {
	id := firstPerson + lastPerson(n)
	name := g.of(firstNames) + " " + g.of(lastNames)
	state := g.rand.IntN(len(states))
	var m message
	m.int(1, id)
	m.text(2, name)
	m.text(3, g.letters(7)+"@"+g.letters(5)+".com")
	m.text(4, fmt.Sprintf("%04d %04d %04d %04d", g.rand.IntN(1e4), g.rand.IntN(1e4), g.rand.IntN(1e4), g.rand.IntN(1e4)))
	m.text(5, g.of(cities))
	m.text(6, states[state])
	m.text(7, g.letters(100))
	return event("person", id, "registered", at, m)
}

func (g *Generator) auction(n int64, at core.Timestamp) Event {
	id := firstAuction + lastAuction(n)
	seller := lastPerson(n) / hotKeys * hotKeys
	if g.rand.IntN(hotSeller) == 0 {
		seller = g.active(n)
	}
	initial := g.price()
	// It is open as long as it takes, on average, until inFlight others have opened.
	open := int64(inFlight*epochEvents/auctionPart) * int64(g.cfg.Every)
	var m message
	m.int(1, id)
	m.text(2, g.letters(20))
	m.text(3, g.letters(100))
	m.int(4, initial)
	m.int(5, initial+g.price())
	m.time(6, at+core.Timestamp(1+g.rand.Int64N(2*open)))
	m.int(7, firstPerson+seller)
	m.int(8, firstCategory+g.rand.Int64N(categories))
	m.text(9, g.letters(250))
	return event("auction", id, "opened", at, m)
}

func (g *Generator) bid(n int64, at core.Timestamp) Event {
	last := lastAuction(n)
	auction := last / hotKeys * hotKeys
	if g.rand.IntN(hotAuction) == 0 {
		first := max(last-inFlight, 0)
		auction = first + g.rand.Int64N(last-first+1)
	}
	bidder := lastPerson(n)/hotKeys*hotKeys + 1 // not the seller
	if g.rand.IntN(hotBidder) == 0 {
		bidder = g.active(n)
	}
	channel, url := "", ""
	if g.rand.IntN(hotChannel) > 0 {
		i := g.rand.IntN(len(wellKnown))
		channel, url = wellKnown[i], fmt.Sprintf("https://www.nexmark.com/%s/%s/%s/item.htm?query=1", wellKnown[i][:3], "hot", "page")
	} else {
		i := g.rand.IntN(channels)
		channel = fmt.Sprintf("channel-%d", i)
		url = fmt.Sprintf("https://www.nexmark.com/%s/%s/%s/item.htm?query=1", g.letters(3), g.letters(4), g.letters(5))
		if g.rand.IntN(10) > 0 {
			url += fmt.Sprintf("&channel_id=%d", i)
		}
	}
	id := firstAuction + auction
	var m message
	m.int(1, id)
	m.int(2, firstPerson+bidder)
	m.int(3, g.price())
	m.text(4, channel)
	m.text(5, url)
	m.text(6, g.letters(30))
	return event("auction", id, "bid", at, m)
}

// active is one of the persons who came last, or one who comes soon.
func (g *Generator) active(n int64) int64 {
	count := lastPerson(n) + 1
	known := min(count, activePersons)
	return count - known + g.rand.Int64N(known)
}

// price is in cents, its logarithm even.
func (g *Generator) price() int64 {
	return int64(math.Round(math.Pow(10, g.rand.Float64()*6) * 100))
}

// letters is a text of about n letters.
func (g *Generator) letters(n int) string {
	b := make([]byte, max(n/2, 3)+g.rand.IntN(n))
	for i := range b {
		b[i] = byte('a' + g.rand.IntN(26))
	}
	return string(b)
}

func (g *Generator) of(list []string) string { return list[g.rand.IntN(len(list))] }

var (
	wellKnown  = []string{"Google", "Facebook", "Baidu", "Apple"}
	firstNames = strings.Fields("Peter Paul Luke John Saul Vicky Kate Julie Sarah Deiter Walter")
	lastNames  = strings.Fields("Shultz Abrams Spencer White Bartels Walton Smith Jones Noris")
	cities     = []string{"Phoenix", "Los Angeles", "San Francisco", "Boise", "Portland", "Bend", "Redmond", "Seattle", "Kent", "Cheyenne"}
	states     = strings.Fields("AZ CA ID OR WA WY")
)

// message is a payload, as the schema of queries.go has it.
type message []byte

func (m *message) int(field protowire.Number, v int64) {
	*m = protowire.AppendVarint(protowire.AppendTag(*m, field, protowire.VarintType), protowire.EncodeZigZag(v))
}

func (m *message) text(field protowire.Number, s string) {
	*m = protowire.AppendString(protowire.AppendTag(*m, field, protowire.BytesType), s)
}

// time is in microseconds.
func (m *message) time(field protowire.Number, t core.Timestamp) {
	*m = protowire.AppendFixed64(protowire.AppendTag(*m, field, protowire.Fixed64Type), uint64(t/1000))
}

func event(actor string, id int64, kind string, at core.Timestamp, m message) Event {
	return Event{Actor: core.ActorID(fmt.Sprintf("%s/%d", actor, id)),
		NewEvent: core.NewEvent{Type: kind, Version: 1, EventTime: at, Payload: m}}
}

// delays are events on their way, a heap by when they come.
type delays []held

type held struct {
	at core.Timestamp
	e  Event
}

func (d *delays) hold(at core.Timestamp, e Event) {
	h := append(*d, held{at, e})
	for i := len(h) - 1; i > 0 && h[i].at < h[(i-1)/2].at; i = (i - 1) / 2 {
		h[i], h[(i-1)/2] = h[(i-1)/2], h[i]
	}
	*d = h
}

func (d *delays) due(now core.Timestamp) (Event, bool) {
	h := *d
	if len(h) == 0 || h[0].at > now {
		return Event{}, false
	}
	e := h[0].e
	last := len(h) - 1
	h[0] = h[last]
	h[last] = held{}
	h = h[:last]
	for i := 0; ; {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < len(h) && h[c].at < h[least].at {
				least = c
			}
		}
		if least == i {
			break
		}
		h[i], h[least] = h[least], h[i]
		i = least
	}
	*d = h
	return e, true
}
