//go:build !race

package redisstore_test

// raceDetector tells that everything takes some four times as long.
const raceDetector = false
