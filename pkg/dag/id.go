package dag

import (
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
)

// Partitions is the number of partitions of an installation. All keys of a run live in one of them, and each is one
// Redis Cluster slot. The number is stored at installation and cannot change afterwards.
const Partitions = 64

// PartitionOf returns the partition, 0 to [Partitions]-1, of the runs of a workflow that carry an idempotency key: the CRC-32C of
// namespace, name and key with NUL between them. Runs without a key get a random one.
func PartitionOf(namespace, name, key string) int {
	sum := crc32.Checksum([]byte(namespace+"\x00"+name+"\x00"+key), crc32.MakeTable(crc32.Castagnoli))
	return int(sum % Partitions)
}

// NewRunID joins a partition and a ULID to a run ID, run_<pp>_<ULID>.
func NewRunID(partition int, ulid string) string { return fmt.Sprintf("run_%02x_%s", partition, ulid) }

// crockford are the digits of a ULID.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// RunPartition returns the partition that a run ID names. The error wraps [ErrInvalid]. Every call of a store begins with it.
func RunPartition(id string) (int, error) {
	pp, ulid, ok := strings.Cut(strings.TrimPrefix(id, "run_"), "_")
	if ok && len(id) == len("run_pp_")+26 && len(pp) == 2 && len(ulid) == 26 && strings.Trim(ulid, crockford) == "" && strings.ToLower(pp) == pp {
		if n, err := strconv.ParseUint(pp, 16, 8); err == nil && n < Partitions {
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("%w: a run ID looks like run_3f_01J9Z0K3V8Q6S5T4R3W2X1Y0ZA", ErrInvalid)
}

// Delivery is one issue of a StepRun to the queue. Every way back to queued is a new epoch, so a Delivery is issued once and a
// task that carries an older one is recognised and dropped.
type Delivery struct {
	Run, Step string
	Epoch     int // from 1
}

// TaskID is the asynq task ID of a delivery, run:step:e<epoch>.
func (d Delivery) TaskID() string { return d.Run + ":" + d.Step + ":e" + strconv.Itoa(d.Epoch) }

// ParseTaskID is the inverse of [Delivery.TaskID]; ok is false for a task that is not one of ours.
func ParseTaskID(id string) (d Delivery, ok bool) {
	run, rest, ok1 := strings.Cut(id, ":")
	step, epoch, ok2 := strings.Cut(rest, ":e")
	n, err := strconv.Atoi(epoch)
	if !ok1 || !ok2 || err != nil || run == "" || step == "" || n < 1 {
		return Delivery{}, false
	}
	d = Delivery{Run: run, Step: step, Epoch: n}
	return d, d.TaskID() == id // no leading zero or sign
}

// EffectKey is what a handler sends to a provider so that an effect happens once: run:step, the same over all attempts, crashes and
// epochs of a step. A generation above 0 adds :r<generation>; it rises when an operator retries a step that the provider refused.
func EffectKey(run, step string, generation int) string {
	if generation == 0 {
		return run + ":" + step
	}
	return run + ":" + step + ":r" + strconv.Itoa(generation)
}
