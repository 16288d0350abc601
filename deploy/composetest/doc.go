// Package composetest checks what is under deploy/ without a container engine: the compose file by the library that docker compose itself
// is made of, the Dockerfile by reading it, and both together by running each image's program with the environment, the arguments and the
// health check that its container would have. Only host names, ports and the paths of the image are replaced by ones of this machine.
//
// It is a module of its own, so that nobody who uses Stepwell gets its dependencies.
//
// What it cannot see: whether the image builds, and what the images of others (Redis, PostgreSQL, Mailpit, asynqmon) do.
package composetest
