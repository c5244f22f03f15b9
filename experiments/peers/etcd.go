package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"
)

const (
	// etcdWorkers send one transaction each; its members batch them further.
	etcdWorkers = 8
	etcdOps     = 2 * groupMax // compares and puts of a transaction
	etcdBytes   = 16 << 20     // of a request
)

// etcdStore is a cluster of etcd members, each a process of its own (etcdNode). Its
// streams are keys, their versions those that etcd counts; it keeps all of them.
type etcdStore struct {
	members []*process
	client  *clientv3.Client
	data    string
}

func startEtcd(ctx context.Context, dir string, nodes int, c *contest) (s *etcdStore, err error) {
	if c.workers == 0 {
		c.workers = etcdWorkers
	}
	s = &etcdStore{data: string(payload(c.size))}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	var cluster, clients []string
	var addrs [][2]string
	for i := range nodes {
		var pair [2]string
		for k := range pair {
			l, err := net.Listen("tcp", "127.0.0.1:0") // a free port
			if err != nil {
				return s, err
			}
			pair[k] = "http://" + l.Addr().String()
			if err := l.Close(); err != nil {
				return s, err
			}
		}
		addrs = append(addrs, pair)
		cluster = append(cluster, fmt.Sprintf("n%d=%s", i+1, pair[1]))
		clients = append(clients, pair[0])
	}
	var ready []*bufio.Reader
	for i := range nodes {
		cmd := exec.Command(self, "etcd-node", "--name", "n"+strconv.Itoa(i+1), "--dir", filepath.Join(dir, strconv.Itoa(i+1)),
			"--client", addrs[i][0], "--peer", addrs[i][1], "--cluster", strings.Join(cluster, ","))
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			return s, err
		}
		p, err := start(cmd, syscall.SIGKILL)
		if err != nil {
			return s, err
		}
		s.members, ready = append(s.members, p), append(ready, bufio.NewReader(out))
	}
	for i, r := range ready {
		if line, err := r.ReadString('\n'); err != nil {
			return s, fmt.Errorf("member %d: %q, %w", i+1, line, err)
		}
	}
	s.client, err = clientv3.New(clientv3.Config{Endpoints: clients, Context: ctx, Logger: zap.NewNop(), MaxCallSendMsgSize: etcdBytes})
	return s, err
}

// write is one transaction: it changes nothing unless every stream is at the version
// before.
func (s *etcdStore) write(ctx context.Context, group []event) error {
	compares, puts := make([]clientv3.Cmp, 0, len(group)), make([]clientv3.Op, 0, len(group))
	for _, e := range group {
		key := "stream/" + strconv.Itoa(e.stream)
		compares = append(compares, clientv3.Compare(clientv3.Version(key), "=", e.version-1))
		puts = append(puts, clientv3.OpPut(key, s.data))
	}
	r, err := s.client.Txn(ctx).If(compares...).Then(puts...).Commit()
	if err == nil && !r.Succeeded {
		err = errors.New("a stream is not at the version before")
	}
	return err
}

func (s *etcdStore) pids() (list []int) {
	for _, p := range s.members {
		list = append(list, p.pid())
	}
	return list
}

func (s *etcdStore) close() (err error) {
	if s.client != nil {
		_ = s.client.Close()
	}
	for _, p := range s.members {
		err = errors.Join(err, p.close())
	}
	return err
}

// etcdNode is one member, until the process is killed. It says on standard output
// when it takes requests.
func etcdNode(args []string) error {
	flags := flag.NewFlagSet("etcd-node", flag.ContinueOnError)
	name, dir := flags.String("name", "", "of the member"), flags.String("dir", "", "for its data")
	client, peer := flags.String("client", "", "URL for clients"), flags.String("peer", "", "URL for the other members")
	cluster := flags.String("cluster", "", "name=URL of every member")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cfg := embed.NewConfig()
	cfg.Name, cfg.Dir, cfg.InitialCluster = *name, *dir, *cluster
	cfg.LogLevel, cfg.MaxTxnOps, cfg.MaxRequestBytes = "error", etcdOps, etcdBytes
	cfg.QuotaBackendBytes = 8 << 30
	for to, text := range map[*[]url.URL]string{&cfg.ListenClientUrls: *client, &cfg.AdvertiseClientUrls: *client, &cfg.ListenPeerUrls: *peer, &cfg.AdvertisePeerUrls: *peer} {
		u, err := url.Parse(text)
		if err != nil {
			return err
		}
		*to = []url.URL{*u}
	}
	e, err := embed.StartEtcd(cfg)
	if err != nil {
		return err
	}
	defer e.Close()
	select {
	case <-e.Server.ReadyNotify():
	case err := <-e.Err():
		return err
	}
	fmt.Println("ready")
	return <-e.Err()
}
