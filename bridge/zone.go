package bridge

import "time"

// TimeZone is the key of the setting that names the box's time zone, such as
// Europe/Berlin; "" is that of the machine.
const TimeZone = "time-zone"

// In shows t in the box's time zone. It takes no lock: sinks use it.
func (h *Hub) In(t time.Time) time.Time { return t.In(h.zone.Load()) }

// SetZone takes over what TimeZone was set to. The machine's files about time
// zones may have gone since.
func (h *Hub) SetZone(name string) {
	zone := time.Local
	if name != "" {
		if z, err := time.LoadLocation(name); err == nil {
			zone = z
		} else {
			h.log.Warn("the time zone is not known here", "zone", name, "err", err)
		}
	}
	h.zone.Store(zone)
}
