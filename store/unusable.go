package store

import "fmt"

// Unusable is why a database can't be opened. The file is untouched.
type Unusable struct {
	Path   string
	Reason string // what is wrong
	Cure   string // what to do next
}

func (u *Unusable) Error() string {
	return fmt.Sprintf("%s can't be used: %s; %s", u.Path, u.Reason, u.Cure)
}
