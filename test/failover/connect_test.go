//go:build integration

package failover_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hibiken/asynq"

	"github.com/stepwell/stepwell/internal/engine"
	"github.com/stepwell/stepwell/internal/localredis"
	"github.com/stepwell/stepwell/internal/localredis/redistest"
	"github.com/stepwell/stepwell/internal/redisstore"
)

// aclRules are the rules of a user who may do just what Stepwell and its asynq do. docs/operations.md shows them.
const aclRules = "resetkeys ~{sw}:* ~{sw:* ~asynq:* resetchannels &asynq:* -@all " +
	"+@hash +@list +@set +@sortedset +@string -@dangerous +del +unlink +exists +type +expire +expireat " +
	"+eval +evalsha +script|load +multi +exec +wait +time +publish +subscribe +hello +auth +ping +select +client|setname " +
	"+info +config|get +memory|usage +command +cluster|slots +cluster|shards +cluster|nodes +cluster|info +cluster|keyslot +asking"

// exercise starts runs and waits for their end, and makes the calls of an operator's tools.
func (l *lab) exercise(t *testing.T) {
	t.Helper()
	var ids []string
	for n := range 20 {
		started, err := l.api.Start(t.Context(), engine.StartRequest{Workflow: "lab/order", Key: "k" + strconv.Itoa(n), Labels: map[string]string{"n": strconv.Itoa(n)}})
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, started.Run.ID)
	}
	if lost := l.ended(t, ids); len(lost) > 0 {
		t.Errorf("runs are lost: %v", lost)
	}
	if status, err := l.api.Status(t.Context()); err != nil || len(status.Workers) != 1 {
		t.Errorf("status %+v, %v", status, err)
	}
	if _, err := l.store.MemoryUse(t.Context()); err != nil {
		t.Error(err)
	}
	inspector := asynq.NewInspectorFromRedisClient(l.client)
	for what, err := range map[string]error{"pause": inspector.PauseQueue("lab"), "go on": inspector.UnpauseQueue("lab")} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := inspector.ListArchivedTasks("lab"); err != nil {
		t.Error(err)
	}
	if _, err := inspector.History("lab", 3); err != nil {
		t.Error(err)
	}
	if _, err := inspector.Servers(); err != nil {
		t.Error(err)
	}
}

// TestUserWithJustTheCommands has a user who may do nothing else, on one server with a replica and on a cluster. Nothing was denied at the end. The negative
// control is the same user without one of the commands.
func TestUserWithJustTheCommands(t *testing.T) {
	t.Parallel()
	r := redistest.StartReplicated(t, 1, 0)
	cluster := redistest.StartCluster(t, 3, false, 5*time.Second)
	for name, c := range map[string]struct {
		url      string
		nodes    []*localredis.Server
		replicas int
	}{
		"standalone": {r.Nodes[0].URL, r.Nodes, 1},
		"cluster":    {cluster.URL, cluster.Masters, 0},
	} {
		for _, n := range c.nodes {
			setUser(t, n, aclRules)
		}
		l := newLab(t, labConfig{options: redisstore.Options{URL: strings.Replace(c.url, "://", "://stepwell:pw@", 1)}, replicas: c.replicas})
		l.exercise(t)
		if len(l.warned) > 0 {
			t.Errorf("%s: warnings %q", name, l.warned)
		}
		for _, n := range c.nodes {
			log, err := redistest.Client(t, n).ACLLog(t.Context(), 10).Result()
			if err != nil || len(log) > 0 {
				t.Errorf("%s: the server has denied: %+v, %v", name, log, err)
			}
		}
	}
	setUser(t, r.Nodes[0], aclRules+" -zadd")
	denied := connect(t, redisstore.Options{URL: strings.Replace(r.Nodes[0].URL, "://", "://stepwell:pw@", 1)}, redisstore.Quick)
	store, err := redisstore.Open(t.Context(), denied, redisstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := newEngine(t, denied, store).Start(t.Context(), engine.StartRequest{Workflow: "lab/order"}); err == nil || !strings.Contains(err.Error(), "can't run this command") {
		t.Errorf("negative control: a start without ZADD: %v", err)
	}
}

func setUser(t *testing.T, s *localredis.Server, rules string) {
	t.Helper()
	args := []any{"acl", "setuser", "stepwell", "reset", "on", ">pw"}
	for rule := range strings.FieldsSeq(rules) {
		args = append(args, rule)
	}
	if err := redistest.Client(t, s).Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
}

// TestTLS has a server that takes only clients with a certificate of its authority, alone and as a cluster. Without certificate, or when the server's is
// of another authority, nobody gets in.
func TestTLS(t *testing.T) {
	t.Parallel()
	files, others := newPKI(t), newPKI(t)
	for _, form := range []string{"rediss://", "rediss+cluster://"} {
		port := redistest.FreePort(t)
		args := []string{
			"--tls-port", port, "--tls-cert-file", files.cert, "--tls-key-file", files.key, "--tls-ca-cert-file", files.ca, "--tls-auth-clients", "yes",
		}
		if form != "rediss://" {
			args = append(args, "--cluster-enabled", "yes", "--cluster-port", redistest.FreePort(t), "--tls-cluster", "yes",
				"--cluster-announce-ip", "127.0.0.1") // a node alone does not know it
		}
		s := redistest.Own(t, localredis.Options{ExtraArgs: args})
		if form != "rediss://" {
			if err := redistest.Client(t, s).ClusterAddSlotsRange(t.Context(), 0, 16383).Err(); err != nil {
				t.Fatal(err)
			}
			redistest.Await(t, limitService, "a cluster of one", redistest.ClusterIsUp(redistest.Client(t, s)))
		}
		good := redisstore.Options{URL: form + net.JoinHostPort("127.0.0.1", port), TLSCA: files.ca, TLSCert: files.cert, TLSKey: files.key}
		newLab(t, labConfig{options: good}).exercise(t)
		for name, o := range map[string]redisstore.Options{
			"no certificate":    {URL: good.URL, TLSCA: files.ca},
			"another authority": {URL: good.URL, TLSCA: others.ca, TLSCert: files.cert, TLSKey: files.key},
			"another's client":  {URL: good.URL, TLSCA: files.ca, TLSCert: others.cert, TLSKey: others.key},
			"in the clear":      {URL: strings.Replace(good.URL, "rediss", "redis", 1)},
		} {
			if _, err := redisstore.Open(t.Context(), connect(t, o, redisstore.Quick), redisstore.Config{}); err == nil {
				t.Errorf("%s: %s: let in", form, name)
			}
		}
	}
}

// pki are PEM files: an authority, and a certificate of it for 127.0.0.1 with its key, for servers and clients.
type pki struct{ ca, cert, key string }

func newPKI(t *testing.T) pki {
	t.Helper()
	dir := t.TempDir()
	files := pki{ca: filepath.Join(dir, "ca.pem"), cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem")}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, NotBefore: authority.NotBefore, NotAfter: authority.NotAfter,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	caKey, leafKey := newKey(t), newKey(t)
	writePEM(t, files.ca, "CERTIFICATE", sign(t, authority, authority, caKey, caKey))
	writePEM(t, files.cert, "CERTIFICATE", sign(t, leaf, authority, leafKey, caKey))
	raw, err := x509.MarshalECPrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, files.key, "EC PRIVATE KEY", raw)
	return files
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) []byte {
	t.Helper()
	raw, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func writePEM(t *testing.T, file, kind string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
}
