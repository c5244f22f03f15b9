package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
)

// redisWorkers send a pipeline each; more do not help a server of one thread.
const redisWorkers = 2

// appendScript checks a stream's version, which is its length, and adds an entry.
// Redis runs it without anything in between.
const appendScript = `if redis.call('XLEN', KEYS[1]) ~= tonumber(ARGV[1]) - 1 then return redis.error_reply('WRONGVERSION') end
return redis.call('XADD', KEYS[1], ARGV[1] .. '-0', 'e', ARGV[2])`

// redisStore is a server with an append-only file that is synced before the answer.
type redisStore struct {
	*process
	client *redis.Client
	script string
	data   []byte
}

func startRedis(ctx context.Context, dir string, c *contest) (*redisStore, error) {
	bin, err := find("redis-server")
	if err != nil {
		return nil, err
	}
	if c.workers == 0 {
		c.workers = redisWorkers
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	p, err := start(exec.Command(bin, "--bind", "127.0.0.1", "--port", port, "--dir", dir, "--save", "",
		"--appendonly", "yes", "--appendfsync", "always"), syscall.SIGKILL)
	if err != nil {
		return nil, err
	}
	s := &redisStore{process: p, data: payload(c.size),
		client: redis.NewClient(&redis.Options{Addr: addr, PoolSize: c.workers, ReadTimeout: time.Minute, WriteTimeout: time.Minute})}
	deadline := time.Now().Add(20 * time.Second)
	for {
		if s.script, err = s.client.ScriptLoad(ctx, appendScript).Result(); err == nil {
			return s, nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			_ = s.close()
			return nil, err
		}
		time.Sleep(10 * time.Millisecond) // it says nowhere when it is ready
	}
}

func (s *redisStore) write(ctx context.Context, group []event) error {
	p := s.client.Pipeline()
	for _, e := range group {
		p.EvalSha(ctx, s.script, []string{"stream:" + strconv.Itoa(e.stream)}, e.version, s.data)
	}
	if _, err := p.Exec(ctx); err != nil { // the first of any command
		return fmt.Errorf("pipeline of %d: %w", len(group), err)
	}
	return nil
}

func (s *redisStore) close() error {
	_ = s.client.Close()
	return s.process.close()
}
