package config

import "reflect"

// SettingsType is the struct that holds every setting.
func SettingsType() reflect.Type { return reflect.TypeFor[settings]() }

// Keys maps the name of every key to its environment variable.
func Keys() map[string]string {
	names := map[string]string{}
	for _, k := range keys() {
		names[k.name] = k.env()
	}
	return names
}
