// Package core is the vocabulary: the nouns that every other package of the
// engine uses in the same sense, their limits, and nothing that acts.
//
//	Command   what a client asks an actor to do
//	Event     what happened to an actor; never changed afterwards
//	Refusal   a command declined, with a stable code: an outcome, not a failure
//	Fault     something broke: an error that names its place
//	Bug       an invariant does not hold: a panic, in production too
//
// An actor is named by an ActorID, lives in one Slot, and its history is the
// sequence of its events, numbered by Seq from 1 without holes. A session is a
// client's promise to number its commands, by which a repeated command is
// recognised.
package core

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
)

// Seq is an event's position in its actor's history. The first event has 1;
// 0 means "no event yet".
type Seq uint64

// Index is a position in a shard's log.
type Index uint64

// Term is a reign of one leader of a shard.
type Term uint64

// Epoch numbers versions of what blocks are decided on: slots, policy, catalog.
type Epoch uint64

// ShardID numbers a shard, cluster-wide.
type ShardID uint32

// Slot is where an actor's identity hashes to. Slots belong to shards.
type Slot uint16

// Timestamp is a reading of a hybrid logical clock in nanoseconds since 1970:
// the wall clock, or one more than the last reading if that is greater (Kulkarni
// et al., "Logical Physical Clocks", 2014, with the logical part folded into the
// nanoseconds).
type Timestamp int64

func (t Timestamp) String() string {
	return time.Unix(0, int64(t)).UTC().Format("2006-01-02T15:04:05.000000000Z")
}

// Principal is the authenticated identity behind an input, as a SPIFFE id.
type Principal string

// ActorID names an actor: its type, a slash, its key.
type ActorID string

// NewActorID checks and joins a type and a key.
func NewActorID(actorType, key string) (ActorID, error) {
	id := ActorID(actorType + "/" + key)
	return id, id.Validate()
}

// Type is the part before the slash: it names the behaviour.
func (a ActorID) Type() string {
	t, _, _ := strings.Cut(string(a), "/")
	return t
}

// Key is the part after the first slash.
func (a ActorID) Key() string {
	_, k, _ := strings.Cut(string(a), "/")
	return k
}

// Validate reports why a is not an actor's name, or nil.
func (a ActorID) Validate() error {
	if a.valid() {
		return nil
	}
	t, k, found := strings.Cut(string(a), "/")
	switch {
	case !found:
		return fmt.Errorf("actor id %.80q: want type/key", string(a))
	case !ValidTypeName(t):
		return fmt.Errorf("actor id %.80q: the type must be 1 to %d of a-z 0-9 . _ -, starting with a letter", string(a), TypeNameBytesMax)
	case len(k) == 0 || len(k) > ActorKeyBytesMax:
		return fmt.Errorf("actor id %.80q: the key must be 1 to %d bytes", string(a), ActorKeyBytesMax)
	case !utf8.ValidString(k):
		return fmt.Errorf("actor id %.80q: the key must be UTF-8", string(a))
	}
	return fmt.Errorf("actor id %.80q: the key must not hold control characters", string(a))
}

// valid is in the way of every command: one pass, a table instead of questions.
func (a ActorID) valid() bool {
	slash := 0
	for slash < len(a) && classes[a[slash]]&inName != 0 {
		slash++
	}
	if slash == 0 || slash > TypeNameBytesMax || slash == len(a) || a[slash] != '/' || classes[a[0]]&letter == 0 {
		return false
	}
	key := string(a[slash+1:])
	var all byte
	for i := 0; i < len(key); i++ {
		all |= classes[key[i]]
	}
	return len(key) > 0 && len(key) <= ActorKeyBytesMax && all&control == 0 && (all&beyondASCII == 0 || utf8.ValidString(key))
}

// ValidTypeName reports whether s can name an actor, command or event type.
func ValidTypeName(s string) bool {
	if len(s) == 0 || len(s) > TypeNameBytesMax || classes[s[0]]&letter == 0 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if classes[s[i]]&inName == 0 {
			return false
		}
	}
	return true
}

// Classes of bytes in names.
const (
	letter      = 1 << iota // a-z: a type's name begins with one
	inName                  // a-z 0-9 . _ -
	control                 // below space, and delete
	beyondASCII             // part of a longer UTF-8 sequence, if valid
)

var classes = func() (t [256]byte) {
	for c := range t {
		switch b := byte(c); {
		case b >= 'a' && b <= 'z':
			t[c] = letter | inName
		case b >= '0' && b <= '9' || b == '.' || b == '_' || b == '-':
			t[c] = inName
		case b < 0x20 || b == 0x7f:
			t[c] = control
		case b >= utf8.RuneSelf:
			t[c] = beyondASCII
		}
	}
	return t
}()

// Slot is xxHash64 of the id modulo Slots. It is part of the stored format.
func (a ActorID) Slot() Slot { return SlotOf(a.Hash()) }

// Hash is the id's xxHash64.
func (a ActorID) Hash() uint64 { return xxhash.Sum64String(string(a)) }

// SlotOf is the slot of the ids with a Hash.
func SlotOf(hash uint64) Slot { return Slot(hash % Slots) }

// SessionID names a session and carries its own expiry: the first eight bytes
// are the Timestamp after which no shard accepts a command of it, big-endian;
// the other eight are random. So a shard may forget a session once its clock
// has passed that time, and a command of a forgotten session can be told from
// one of a new session for ever.
type SessionID [16]byte

// NewSessionID makes the session that ends at expires.
func NewSessionID(expires Timestamp, random uint64) (s SessionID) {
	binary.BigEndian.PutUint64(s[:8], uint64(expires))
	binary.BigEndian.PutUint64(s[8:], random)
	return s
}

// Expires is the time from which the session's commands are refused.
func (s SessionID) Expires() Timestamp { return Timestamp(binary.BigEndian.Uint64(s[:8])) }

func (s SessionID) String() string { return fmt.Sprintf("%x", s[:]) }

// CommandNumber counts the commands of one session, from 1.
type CommandNumber uint64

// CommandKind says how a command is carried out.
type CommandKind uint8

const (
	// Decide hands Payload to the actor's behaviour.
	Decide CommandKind = iota + 1
	// Append adds Events as they are: the door for callers without Go types.
	Append
	// Read returns the actor's state, as new as its Freshness says. It changes nothing
	// and is not numbered.
	Read
	// History returns events from Expected on, as many as fit. Not numbered.
	History
	// Fence raises the shard's slot epoch to Payload's: blocks decided under an
	// older one are void. Only the cluster's own principals may.
	Fence
	// Move is about slots that go from one shard to another: Type says what is
	// asked, Payload which move. The actor names the shard (ShardActor). Not
	// numbered. Only operators, and the cluster's own shards, may.
	Move
	// Regroup is about the replicas of a shard: Type says what is asked, Payload which
	// there are to be. The actor names the shard. Not numbered. Only operators may.
	Regroup
)

var commandKindNames = [...]string{"?", "decide", "append", "read", "history", "fence", "move", "regroup"}

func (k CommandKind) String() string {
	if int(k) < len(commandKindNames) {
		return commandKindNames[k]
	}
	return commandKindNames[0]
}

// Changes reports whether commands of this kind may add events: these are
// numbered in their session and executed exactly once.
func (k CommandKind) Changes() bool { return k == Decide || k == Append }

// shardType is the type of the ids that name shards.
const shardType = "shard"

// ShardActor is an id that names a shard itself, for commands that are not for an
// actor: a Fence, a Move.
func ShardActor(s ShardID) ActorID {
	return ActorID(shardType + "/" + strconv.FormatUint(uint64(s), 10))
}

// NamesShard tells whether an id names a shard, and which one.
func (a ActorID) NamesShard() (s ShardID, ok bool) {
	key, ok := strings.CutPrefix(string(a), shardType+"/")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(key, 10, 32)
	return ShardID(n), err == nil
}

// AnySeq as Command.Expected asks for no check.
const AnySeq = ^Seq(0)

// A Command is what a client asks one actor to do.
type Command struct {
	Session    SessionID
	Number     CommandNumber // kinds that Change: position in the session; else an id to match the answer by
	AckedBelow CommandNumber // every lower number of the session was answered and will not be sent again
	Actor      ActorID
	Principal  Principal // set at the door from the authenticated peer
	Kind       CommandKind
	Expected   Seq        // the actor's last Seq as the caller knows it, or AnySeq; History: first wanted
	Type       string     // Decide: name of the command's type; Read, History: the level (see Freshness)
	Payload    []byte     // Decide: the command, in its type's encoding; Read, History: the level's bound
	Events     []NewEvent // Append
}

// Same tells whether o is c again, from the same principal. AckedBelow may have
// risen meanwhile.
func (c *Command) Same(o *Command) bool {
	return c.Session == o.Session && c.Number == o.Number && c.Kind == o.Kind &&
		c.Principal == o.Principal && c.Actor == o.Actor && c.Expected == o.Expected && c.Type == o.Type &&
		bytes.Equal(c.Payload, o.Payload) && slices.EqualFunc(c.Events, o.Events, func(x, y NewEvent) bool {
		return x.Type == y.Type && x.Version == y.Version && x.EventTime == y.EventTime &&
			bytes.Equal(x.Payload, y.Payload) && bytes.Equal(x.Personal, y.Personal)
	})
}

// A NewEvent is an event that has no place in a history yet.
type NewEvent struct {
	Type      string
	Version   uint16 // of the type's schema
	EventTime Timestamp
	Payload   []byte
	Personal  []byte // declared personal columns: stored apart, erasable
}

// An Event is what happened to an actor.
type Event struct {
	Actor     ActorID
	Seq       Seq
	Type      string
	Version   uint16
	EventTime Timestamp // when it happened
	Committed Timestamp // when the shard recorded it
	Session   SessionID // of the command that caused it
	Number    CommandNumber
	Principal Principal
	Payload   []byte
	Personal  []byte
}

func (e Event) String() string {
	return fmt.Sprintf("%s@%d %s v%d by %s/%d", e.Actor, e.Seq, e.Type, e.Version, e.Session, e.Number)
}

// Status is what became of a command.
type Status uint8

const (
	// Accepted: its events are durable; or the read's answer is attached.
	Accepted Status = iota + 1
	// Refused by the actor: recorded, so that a retry gets the same answer.
	Refused
	// RefusedAtDoor: no effect, nothing recorded; the code says the cure.
	RefusedAtDoor
	// Unknown: it may or may not take effect. Ask again with the same number.
	Unknown
)

var statusNames = [...]string{"?", "accepted", "refused", "refused-at-door", "unknown"}

func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return statusNames[0]
}

// An Answer ends a command, from the shard's point of view.
type Answer struct {
	Session   SessionID
	Number    CommandNumber
	Kind      CommandKind
	Status    Status
	Code      Code      // Refused, RefusedAtDoor, Unknown
	Detail    string    // Refused, RefusedAtDoor: for people
	Seq       Seq       // the actor's last Seq after the command; not-leader: the replica that leads, 0 if unknown; wrong-shard and stale-plan: the epoch of the slot
	Count     uint32    // events that the command added; wrong-shard: the shard that owns the slot, plus 1, as far as this one knows
	Timestamp Timestamp // read token: reads at or after it see the command
	State     []byte    // Read: the state in its codec's encoding; History: the events
}
