package engine

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stepwell/stepwell/pkg/dag"
)

// versionTTL bounds how long a new version of a workflow may go unnoticed by starts that name none.
const versionTTL = time.Second

// maxGraphs bounds the cache of compiled graphs; beyond it the cache starts anew.
const maxGraphs = 1024

// Register checks a workflow and makes its version known to every process. The same definition again is no change. source is the text of the
// definition file, "" for one built in Go.
//
// Errors: [dag.ErrInvalid], [ErrConflict] (the version has another definition; raise the version), [ErrUnavailable].
func (e *Engine) Register(ctx context.Context, w *dag.Workflow, source string) error {
	if err := w.Validate(); err != nil {
		return fmt.Errorf("register %s: %w", w.FullName(), err)
	}
	digest, err := w.Digest()
	if err != nil {
		return fmt.Errorf("register %s: %w", w.FullName(), err)
	}
	reg := dag.Registration{Workflow: w, Digest: digest, Source: source, RegisteredAt: e.cfg.Now().UTC()}
	if err := e.store.PutWorkflow(ctx, reg, e.cfg.Dev); err != nil {
		return fmt.Errorf("register %s: %w", w.FullName(), err)
	}
	e.versions.forget(w.FullName())
	return nil
}

// Workflow finds a registered version. name is namespace/name or namespace/name@version; without a version it is the highest that is no
// pre-release, or the highest pre-release when there is nothing else.
func (e *Engine) Workflow(ctx context.Context, name string) (dag.Registration, error) {
	return e.resolve(ctx, name)
}

func (e *Engine) resolve(ctx context.Context, ref string) (dag.Registration, error) {
	name, version, pinned := strings.Cut(ref, "@")
	namespace, short, ok := strings.Cut(name, "/")
	if !ok || dag.CheckName("namespace", namespace) != nil || dag.CheckName("workflow", short) != nil || (pinned && version == "") {
		return dag.Registration{}, fmt.Errorf("%w: workflow %q; write namespace/name or namespace/name@version", dag.ErrInvalid, ref)
	}
	all, err := e.versions.get(ctx, e, name)
	if err != nil {
		return dag.Registration{}, err
	}
	if len(all) == 0 {
		return dag.Registration{}, fmt.Errorf("workflow %s: %w; GET /v1/workflows lists what is registered", name, ErrNotFound)
	}
	if !pinned {
		return highest(all), nil
	}
	i := slices.IndexFunc(all, func(r dag.Registration) bool { return r.Workflow.Version == version })
	if i < 0 {
		return dag.Registration{}, fmt.Errorf("workflow %s: version %s: %w; registered are %s", name, version, ErrNotFound, versionsOf(all))
	}
	return all[i], nil
}

func highest(all []dag.Registration) dag.Registration {
	return slices.MaxFunc(all, func(a, b dag.Registration) int {
		if pa, pb := dag.IsPrerelease(a.Workflow.Version), dag.IsPrerelease(b.Workflow.Version); pa != pb {
			if pa {
				return -1
			}
			return 1
		}
		return dag.CompareVersions(a.Workflow.Version, b.Workflow.Version)
	})
}

func versionsOf(all []dag.Registration) string {
	names := make([]string, len(all))
	for i, r := range all {
		names[i] = r.Workflow.Version
	}
	slices.SortFunc(names, dag.CompareVersions)
	return strings.Join(names, ", ")
}

// versionCache spares starts a read of the catalogue.
type versionCache struct {
	mu     sync.Mutex
	byName map[string]cachedVersions
}

type cachedVersions struct {
	all []dag.Registration
	at  time.Time
}

func (c *versionCache) get(ctx context.Context, e *Engine, name string) ([]dag.Registration, error) {
	c.mu.Lock()
	hit, ok := c.byName[name]
	c.mu.Unlock()
	if ok && e.cfg.Now().Sub(hit.at) < versionTTL {
		return hit.all, nil
	}
	all, err := e.store.Versions(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("versions of workflow %s: %w", name, err)
	}
	if len(all) == 0 {
		return nil, nil // not cached: names come from outside, and would fill the memory
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.byName == nil {
		c.byName = map[string]cachedVersions{}
	}
	c.byName[name] = cachedVersions{all: all, at: e.cfg.Now()}
	return all, nil
}

func (c *versionCache) forget(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.byName, name)
}

// graphCache keeps compiled graphs by definition and profiles.
type graphCache struct {
	mu    sync.Mutex
	byKey map[string]*dag.Graph
}

func (c *graphCache) compile(reg dag.Registration, profiles []string) (*dag.Graph, error) {
	key := reg.Digest + "\x00" + strings.Join(profiles, "\x00")
	c.mu.Lock()
	defer c.mu.Unlock()
	if g, ok := c.byKey[key]; ok {
		return g, nil
	}
	g, err := dag.Compile(reg.Workflow, profiles...)
	if err != nil {
		return nil, err
	}
	if c.byKey == nil || len(c.byKey) >= maxGraphs {
		c.byKey = map[string]*dag.Graph{}
	}
	c.byKey[key] = g
	return g, nil
}
