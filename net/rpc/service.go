package rpc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"actordb/core"
	pb "actordb/net/rpc/actordbv1"
	"actordb/net/rpc/actordbv1/actordbv1connect"
	"actordb/net/tlsnet"
	"actordb/net/wire"
)

// Judge tells who sent a request, as tlsnet.Web does.
type Judge func(*http.Request) (tlsnet.Identity, error)

// service implements actordbv1connect.CommandsHandler.
type service struct{ d *Dispatcher }

// NewHandler serves the Commands service below the path that it returns.
func NewHandler(d *Dispatcher, judge Judge) (path string, handler http.Handler) {
	options := []connect.HandlerOption{
		connect.WithReadMaxBytes(RequestBytesMax), connect.WithCompression("gzip", nil, nil),
		connect.WithCodec(strictJSON{"json"}), connect.WithCodec(strictJSON{"json; charset=utf-8"}),
	}
	path, next := actordbv1connect.NewCommandsHandler(&service{d}, options...)
	refusals := connect.NewErrorWriter(options...)
	return path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &caller{judge: func() (core.Principal, *connect.Error) { return clientOf(judge(r)) }, control: http.NewResponseController(w)}
		if _, err := c.judge(); err != nil {
			refuse(w, r, refusals, err)
			return
		}
		body := &meteredBody{ReadCloser: r.Body, held: &d.held}
		defer body.release()
		r.Body = body
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// refuse answers a request that is not judged to be a client's, in its protocol.
func refuse(w http.ResponseWriter, r *http.Request, refusals *connect.ErrorWriter, err *connect.Error) {
	if refusals.IsSupported(r) {
		refusals.Write(w, r, err) // who does not listen is not told
		return
	}
	code := http.StatusUnauthorized
	if err.Code() == connect.CodePermissionDenied {
		code = http.StatusForbidden
	}
	http.Error(w, err.Message(), code)
}

func clientOf(who tlsnet.Identity, err error) (core.Principal, *connect.Error) {
	switch {
	case err != nil:
		return "", connect.NewError(connect.CodeUnauthenticated, err)
	case who.Client == "":
		return "", connect.NewError(connect.CodePermissionDenied, fmt.Errorf("%s is no client: commands come from clients; use such an identity", who))
	}
	return core.Principal(who.ID), nil
}

// caller is who sent the request that a context belongs to.
type caller struct {
	judge   func() (core.Principal, *connect.Error)
	control *http.ResponseController
}

type callerKey struct{}

// do carries out commands of a request (R1).
func (s *service) do(ctx context.Context, commands []core.Command) ([]core.Answer, error, *connect.Error) {
	principal, refusal := ctx.Value(callerKey{}).(*caller).judge()
	if refusal != nil {
		return nil, nil, refusal
	}
	answers, cause := s.d.Do(ctx, principal, commands)
	return answers, cause, nil
}

// one carries out one command.
func (s *service) one(ctx context.Context, c core.Command) (*core.Answer, error) {
	answers, cause, refusal := s.do(ctx, []core.Command{c})
	switch {
	case refusal != nil:
		return nil, refusal
	case answers[0].Status != core.Accepted:
		return nil, refused(c.Actor, &answers[0], cause)
	}
	return &answers[0], nil
}

// OpenSession makes a session.
func (s *service) OpenSession(_ context.Context, r *connect.Request[pb.OpenSessionRequest]) (*connect.Response[pb.OpenSessionResponse], error) {
	lifetime := sessionLifetimeDefault
	if l := r.Msg.Lifetime; l != nil {
		lifetime = l.AsDuration()
		if !l.IsValid() || lifetime < sessionLifetimeMin || lifetime > sessionLifetimeMax {
			return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("lifetime: %s: want %s to %s", lifetime, sessionLifetimeMin, sessionLifetimeMax))
		}
	}
	id := newSession(s.d.cfg.Now(), lifetime)
	return connect.NewResponse(&pb.OpenSessionResponse{Session: id.String(), Expires: timestamppb.New(time.Unix(0, int64(id.Expires())))}), nil
}

// Execute carries out one command.
func (s *service) Execute(ctx context.Context, r *connect.Request[pb.ExecuteRequest]) (*connect.Response[pb.ExecuteResponse], error) {
	c, wrong := commandOf(r.Msg.Command)
	if wrong != nil {
		return nil, refused(c.Actor, wrongAnswer(wrong), nil)
	}
	a, err := s.one(ctx, c)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ExecuteResponse{Answer: answerMessage(a)}), nil
}

func wrongAnswer(r *core.Refusal) *core.Answer {
	return &core.Answer{Status: core.RefusedAtDoor, Code: r.Code, Detail: r.Detail}
}

// ExecuteBatch carries out many.
func (s *service) ExecuteBatch(ctx context.Context, r *connect.Request[pb.ExecuteBatchRequest]) (*connect.Response[pb.ExecuteBatchResponse], error) {
	list := r.Msg.Commands
	if len(list) > batchMax {
		return nil, connect.NewError(connect.CodeInvalidArgument, fmt.Errorf("commands: %d, the limit is %d: send several batches", len(list), batchMax))
	}
	results := make([]*pb.Result, len(list))
	commands, places := make([]core.Command, 0, len(list)), make([]int, 0, len(list))
	for i, m := range list {
		c, wrong := commandOf(m)
		if wrong != nil {
			results[i] = resultOf(wrongAnswer(wrong))
			continue
		}
		commands, places = append(commands, c), append(places, i)
	}
	answers, cause, refusal := s.do(ctx, commands)
	if refusal != nil {
		return nil, refusal
	}
	for i := range answers {
		if a := &answers[i]; cause != nil && a.Code == core.CodeTimeout && a.Detail == "" {
			a.Detail = cause.Error()
		}
		results[places[i]] = resultOf(&answers[i])
	}
	return connect.NewResponse(&pb.ExecuteBatchResponse{Results: results}), nil
}

func resultOf(a *core.Answer) *pb.Result {
	if a.Status == core.Accepted {
		return &pb.Result{Outcome: &pb.Result_Answer{Answer: answerMessage(a)}}
	}
	return &pb.Result{Outcome: &pb.Result_Refusal{Refusal: refusalMessage(a)}}
}

// page reads some events. The caller has pageBytes of the budget.
func (s *service) page(ctx context.Context, actor string, from uint64) ([]core.Event, uint64, error) {
	c := core.Command{Actor: core.ActorID(actor), Kind: core.History, Expected: core.Seq(max(from, 1))}
	a, err := s.one(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	events, err := wire.DecodeEvents(c.Actor, a.State)
	if err == nil && len(events) > 0 && events[0].Seq != c.Expected {
		err = fmt.Errorf("%s: asked for event %d, got %d", actor, c.Expected, events[0].Seq)
	}
	if err != nil {
		return nil, 0, connect.NewError(connect.CodeInternal, err)
	}
	return events, uint64(a.Seq), nil
}

// ReadEvents reads some events.
func (s *service) ReadEvents(ctx context.Context, r *connect.Request[pb.ReadEventsRequest]) (*connect.Response[pb.ReadEventsResponse], error) {
	if err := s.d.held.take(pageBytes); err != nil {
		return nil, err
	}
	defer s.d.held.give(pageBytes)
	events, last, err := s.page(ctx, r.Msg.Actor, r.Msg.FromSeq)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&pb.ReadEventsResponse{Events: eventMessages(events), LastSeq: last}), nil
}

// pageTime is how long a reader of a stream may take for a page.
const pageTime = 30 * time.Second

// History reads all events, page by page.
func (s *service) History(ctx context.Context, r *connect.Request[pb.HistoryRequest], stream *connect.ServerStream[pb.HistoryResponse]) error {
	if err := s.d.held.take(pageBytes); err != nil {
		return err
	}
	defer s.d.held.give(pageBytes)
	control := ctx.Value(callerKey{}).(*caller).control
	for next := max(r.Msg.FromSeq, 1); ; {
		events, last, err := s.page(ctx, r.Msg.Actor, next)
		if err != nil {
			return err
		}
		// The server's deadline is for the whole of an answer; this is for a part.
		if err := control.SetWriteDeadline(time.Now().Add(pageTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return connect.NewError(connect.CodeInternal, err)
		}
		if err := stream.Send(&pb.HistoryResponse{Events: eventMessages(events), LastSeq: last}); err != nil {
			return err
		}
		if next += uint64(len(events)); len(events) == 0 || next > last {
			return nil
		}
	}
}

// strictJSON is protobuf's JSON, but that a field which is not known is an error: a
// misspelt expected_seq must not pass for none.
type strictJSON struct{ name string }

func (c strictJSON) Name() string { return c.name }

func (strictJSON) Marshal(m any) ([]byte, error) {
	message, ok := m.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%T is no protobuf message", m)
	}
	return protojson.Marshal(message)
}

func (strictJSON) Unmarshal(b []byte, m any) error {
	message, ok := m.(proto.Message)
	if !ok {
		return fmt.Errorf("%T is no protobuf message", m)
	}
	if len(b) == 0 {
		return errors.New("an empty body is no JSON: want at least {}")
	}
	return protojson.Unmarshal(b, message)
}
