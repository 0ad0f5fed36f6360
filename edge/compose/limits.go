package compose

import (
	"cmp"
	"math"
	"path"
	"strconv"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"

	"holdfast/edge"
)

// Bounds of limits.
const (
	mebibyte = 1 << 20
	// minMemory is the least in which runc can start a process at all.
	minMemory = 4 * mebibyte
	maxMemory = 1 << 40 // above any gateway's memory; catches a wrong unit
	maxCPUs   = 1024
	maxPids   = 1 << 22 // the kernel's own
	// defaultTmpfs is small, because it counts as the instance's memory.
	defaultTmpfs = 16 * mebibyte
)

// limits reads deploy.resources.limits, or the older keys of the service; where
// both are given, checkAgreement has seen to it that they agree.
func (s service) limits() edge.Limits {
	var deploy limitsConfig
	if s.config.Limits != nil {
		deploy = *s.config.Limits
	}
	limits := edge.Limits{
		CPUs:   widen(cmp.Or(deploy.CPUs.Value(), s.config.CPUs)),
		Memory: int64(cmp.Or(deploy.Memory, s.config.MemLimit)),
		Pids:   cmp.Or(deploy.Pids, s.config.PidsLimit),
	}
	if at := s.given("cpus", "cpus"); at != nil && !(limits.CPUs >= 0.01 && limits.CPUs <= maxCPUs) {
		s.add(at, quote(at.text)+" is out of bounds", "write cores from 0.01 to 1024; leave it out for the node's default")
	}
	if at := s.given("memory", "mem_limit"); at != nil && (limits.Memory < minMemory || limits.Memory > maxMemory) {
		s.add(at, quote(at.text)+" is out of bounds", "write a size from 4M to 1024G, such as 128M; leave it out for the node's default")
	}
	if at := s.given("pids", "pids_limit"); at != nil && (limits.Pids < 1 || limits.Pids > maxPids) {
		s.add(at, quote(at.text)+" is out of bounds", "write a number from 1 to 4194304; leave it out for the node's default")
	}
	return limits
}

// request reads deploy.resources.reservations, which never are above the limits.
func (s service) request(limits edge.Limits) edge.Request {
	if s.config.SetAside == nil {
		return edge.Request{}
	}
	request := edge.Request{CPUs: widen(s.config.SetAside.CPUs.Value()), Memory: int64(s.config.SetAside.Memory)}
	if at := s.at.at(resourcesPath("reservations", "cpus")...); at != nil {
		s.within(at, request.CPUs, 0.01, maxCPUs, "write cores from 0.01 to 1024")
		s.beneath(at, request.CPUs, limits.CPUs)
	}
	if at := s.at.at(resourcesPath("reservations", "memory")...); at != nil {
		s.within(at, float64(request.Memory), minMemory, maxMemory, "write a size from 4M to 1024G, such as 64M")
		s.beneath(at, float64(request.Memory), float64(limits.Memory))
	}
	return request
}

func (s service) within(at *node, value, low, high float64, remedy string) {
	if !(value >= low && value <= high) {
		s.add(at, quote(at.text)+" is out of bounds", remedy+"; leave it out where nothing is set aside")
	}
}

// beneath holds what is set aside to a limit, of which 0 is none.
func (s service) beneath(at *node, value, limit float64) {
	if limit > 0 && value > limit {
		s.add(at, quote(at.text)+" is above the limit", "set less aside, or raise deploy.resources.limits")
	}
}

// Bounds of weights of the disk, as Compose has them.
const minWeight, maxWeight = 10, 1000

// ioWeight reads blkio_config.weight.
func (s service) ioWeight() int {
	weight := s.config.BlkioWeight
	if at := s.at.at("blkio_config", "weight"); at != nil && (weight < minWeight || weight > maxWeight) {
		s.add(at, quote(at.text)+" is out of bounds", "write a number from 10 to 1000; leave it out for the kernel's default")
	}
	return int(weight)
}

// given finds where a limit is written, if it is.
func (s service) given(deploy, short string) *node {
	if at := s.at.at(limitsPath(deploy)...); at != nil {
		return at
	}
	return s.at.at(short)
}

// widen takes the nearest decimal, so that 0.1 does not become
// 0.10000000149011612.
func widen(f float32) float64 {
	wide, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil {
		return math.NaN() // refused by the bounds
	}
	return wide
}

// tmpfs reads path[:size=64m].
func (s service) tmpfs() []edge.Tmpfs {
	var mounts []edge.Tmpfs
	for _, entry := range s.config.Tmpfs {
		folder, options, _ := strings.Cut(entry.text, ":")
		if !path.IsAbs(folder) || path.Clean(folder) == "/" {
			s.add(entry.at, quote(folder)+" is not a folder inside the instance", "begin it with /")
			continue
		}
		mounts = append(mounts, edge.Tmpfs{Path: path.Clean(folder), Size: s.tmpfsSize(entry.at, options)})
	}
	edge.SortStable(mounts, func(a, b edge.Tmpfs) int { return strings.Compare(a.Path, b.Path) })
	return mounts
}

func (s service) tmpfsSize(at *node, options string) int64 {
	size := int64(defaultTmpfs)
	if options == "" {
		return size
	}
	for option := range strings.SplitSeq(options, ",") {
		value, isSize := strings.CutPrefix(option, "size=")
		var bytes types.UnitBytes
		switch err := bytes.DecodeMapstructure(value); {
		case !isSize:
			s.add(at, "the option "+quote(option)+" is not honoured", "keep size= only")
		case err != nil || bytes <= 0 || bytes > maxMemory:
			s.add(at, quote(value)+" is not a size", "write one such as 64m")
		default:
			size = int64(bytes)
		}
	}
	return size
}
