package web

func (v *visit) troubles() error {
	s, err := v.control().Status(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "troubles", "Why can't this PC sign in?", s.Troubled)
}

func (v *visit) settings() error {
	all, err := v.control().Settings(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "settings", "Settings", all)
}

func (v *visit) changeSetting() error {
	key := v.field("key")
	return v.done("settings", key+" is changed.", v.control().SetSetting(v.r.Context(), key, v.field("value")))
}

func (v *visit) health() error {
	checks, err := v.control().Doctor(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "health", "Health", checks)
}

func (v *visit) log() error {
	lines, err := v.control().Log(v.r.Context())
	if err != nil {
		return err
	}
	return v.render(200, "log", "Log", lines)
}
