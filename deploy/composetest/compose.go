package composetest

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/stepwell/stepwell/internal/config"
)

// Load reads a compose file as docker compose does with an empty environment: against the schema, all variables at their defaults.
func Load(ctx context.Context, name string, content []byte, dir string) (*types.Project, error) {
	for _, v := range variable.FindAllStringSubmatch(string(content), -1) {
		if !strings.HasPrefix(v[2], ":-") {
			return nil, fmt.Errorf("%s: variable %s has no default", name, v[1])
		}
	}
	return loader.LoadWithContext(ctx, types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: name, Content: content}},
		Environment: types.Mapping{},
	})
}

var variable = regexp.MustCompile(`\$\{?(\w+)([^}]*)`)

// ours are the services that run our image, with their targets.
func ours() []string { return []string{"api", "gateway", "worker"} }

// Problems holds a compose file and the images of its services against what a deployment of Stepwell must be, and names all that is not.
func Problems(p *types.Project, images map[string]*Image) []string {
	c := &checker{}
	for _, name := range slices.Sorted(slices.Values(p.ServiceNames())) {
		c.service = name
		service := p.Services[name]
		c.everyService(&service)
		if slices.Contains(ours(), name) {
			c.ourService(&service, images)
		}
	}
	c.checkRedis(p)
	c.checkWorker(p)
	c.checkOrder(p)
	return c.problems
}

type checker struct {
	service  string
	problems []string
}

func (c *checker) expect(ok bool, format string, args ...any) {
	if !ok {
		c.problems = append(c.problems, c.service+": "+fmt.Sprintf(format, args...))
	}
}

func (c *checker) everyService(s *types.ServiceConfig) {
	c.expect(s.Restart == "unless-stopped", "restart is %q, not unless-stopped", s.Restart)
	c.expect(slices.Contains(s.SecurityOpt, "no-new-privileges:true"), "no no-new-privileges")
	c.expect(s.Deploy != nil && s.Deploy.Resources.Limits != nil && s.Deploy.Resources.Limits.MemoryBytes > 0, "no memory limit")
	c.expect(s.StopGracePeriod != nil, "no stop_grace_period")
	c.expect(!strings.HasSuffix(s.Image, ":latest") && (s.Build != nil || strings.Contains(s.Image, ":")), "image %q is not pinned to a version", s.Image)
	for _, port := range s.Ports {
		ip := net.ParseIP(port.HostIP)
		c.expect(ip != nil && ip.IsLoopback(), "port %d is open beyond the loopback interface", port.Target)
	}
	if s.Build == nil && c.service != "asynqmon" { // asynqmon's image holds nothing that could ask
		c.expect(s.HealthCheck != nil && !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 1, "no health check")
	}
}

func (c *checker) ourService(s *types.ServiceConfig, images map[string]*Image) {
	c.expect(s.ReadOnly, "its file system can be written to")
	c.expect(slices.Contains(s.CapDrop, "ALL") && len(s.CapAdd) == 0 && !s.Privileged, "it has capabilities")
	c.expect(s.HealthCheck == nil, "its health check is the image's, and is set here too")
	c.expect(s.User == "", "its user is the image's, and is set here too")
	if s.Build == nil || images[s.Build.Target] == nil {
		c.expect(false, "it is not built from a target of the Dockerfile")
		return
	}
	image := images[s.Build.Target]
	c.expect(s.Build.Target == c.service, "it is built from target %s", s.Build.Target)
	user, _, _ := strings.Cut(image.User, ":")
	uid, err := strconv.Atoi(user)
	c.expect(err == nil && uid > 0, "user %q of its image is not a number above 0", image.User)
	c.expect(len(image.Health) == 3 && image.Health[0] == "/stepwell" && image.Health[1] == "probe", "health check %q of its image does not probe", image.Health)
	for _, command := range [][]string{image.Entrypoint, image.Health} {
		c.expect(len(command) > 0 && slices.Contains(images["build"].Binaries(), strings.TrimPrefix(command[0], "/")), "%q is not a program of its image", command)
	}
	c.checkPorts(s, image)
	c.checkSettings(Environment(s, image))
}

// checkPorts wants the health check, EXPOSE and what is published to name one port. That the program listens there is seen by running it.
func (c *checker) checkPorts(s *types.ServiceConfig, image *Image) {
	if len(image.Ports) != 1 || len(image.Health) == 0 {
		c.expect(false, "its image exposes %q, not one port", image.Ports)
		return
	}
	probed, err := url.Parse(image.Health[len(image.Health)-1])
	c.expect(err == nil && probed.Port() == image.Ports[0], "its health check asks %s, its port is %s", probed, image.Ports[0])
	for _, port := range s.Ports {
		c.expect(strconv.Itoa(int(port.Target)) == image.Ports[0], "port %d is published, its port is %s", port.Target, image.Ports[0])
	}
}

// checkSettings lets the program's own reader judge the variables.
func (c *checker) checkSettings(environ []string) {
	_, err := config.LoadAPI(nil, environ)
	c.expect(err == nil, "its environment is refused: %v", err)
}

// Environment is what a container of the service sees: the variables of its image and, above them, those of the compose file.
func Environment(s *types.ServiceConfig, image *Image) []string {
	merged := maps.Clone(image.Env)
	for name, value := range s.Environment {
		if value != nil {
			merged[name] = *value
		}
	}
	environ := []string{} // not nil: that would mean our own environment
	for name, value := range merged {
		environ = append(environ, name+"="+value)
	}
	slices.Sort(environ)
	return environ
}

func (c *checker) checkRedis(p *types.Project) {
	c.service = "redis"
	s := p.Services["redis"]
	for flag, want := range map[string]string{"--appendonly": "yes", "--appendfsync": "everysec", "--maxmemory-policy": "noeviction"} {
		i := slices.Index(s.Command, flag)
		c.expect(i >= 0 && i+1 < len(s.Command) && s.Command[i+1] == want, "%s is not %s", flag, want)
	}
	c.expect(slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
		return v.Type == "volume" && v.Source != "" && v.Target == "/data"
	}), "/data is not on a named volume")
	c.expect(s.HealthCheck != nil && slices.Contains(s.HealthCheck.Test, "redis-cli") && slices.Contains(s.HealthCheck.Test, "ping"), "health check is not redis-cli ping")
	c.expect(len(s.Ports) == 0, "it is published, and has no password")
}

// graceMargin is what Docker must leave a worker beyond its own grace time.
const graceMargin = 10 * time.Second

func (c *checker) checkWorker(p *types.Project) {
	c.service = "worker"
	s := p.Services["worker"]
	c.expect(len(s.Ports) == 0, "it has a port on the host: it cannot be scaled")
	c.expect(s.Deploy != nil && s.Deploy.Replicas != nil && *s.Deploy.Replicas == 2, "it does not have 2 replicas")
	var environ []string
	for name, value := range s.Environment {
		if value != nil {
			environ = append(environ, name+"="+*value)
		}
	}
	cfg, err := config.LoadWorker(nil, environ)
	if err != nil || s.StopGracePeriod == nil {
		return // said already
	}
	c.expect(time.Duration(*s.StopGracePeriod) >= cfg.Pool.Grace+graceMargin, "stop_grace_period %s is not %s longer than worker.grace %s",
		time.Duration(*s.StopGracePeriod), graceMargin, cfg.Pool.Grace)
}

// checkOrder wants nobody to start before what it needs can answer.
func (c *checker) checkOrder(p *types.Project) {
	for name, needs := range map[string][]string{
		"api": {"redis"}, "worker": {"redis", "postgres", "gateway", "mail"}, "asynqmon": {"redis"},
	} {
		c.service = name
		service := p.Services[name]
		for _, need := range needs {
			c.expect(service.DependsOn[need].Condition == types.ServiceConditionHealthy, "it does not wait for %s to be healthy", need)
		}
	}
}
