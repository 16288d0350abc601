package redisstore

// ScriptDigests returns the names of all scripts by digest, as a server without flags of scripts is sent them.
func ScriptDigests() (map[string]string, error) {
	scripts, err := readScripts(false, "")
	names := map[string]string{}
	for name, sc := range scripts {
		names[sc.digest] = name
	}
	return names, err
}
