// Package definition reads workflow definitions from YAML files and checks the inputs of runs against their schemas.
//
// # Reading
//
// [Parse] walks the syntax tree itself instead of decoding into a struct, because it promises more than a decoder: every error of a
// file at once, each with file, line, column, an excerpt and the mend. That holds for the grammar (unknown and duplicate fields, wrong types,
// durations without a unit), for what [dag.Workflow.Validate] finds, whose paths are led back to their places in the file, and for an input
// schema that is not one.
//
// A definition is data that comes from outside. Before the parser sees it, its size, depth and width are bounded, and anchors, aliases, merge
// keys and tags are refused: they make bombs possible and definitions harder to read. A file holds one document.
//
// Numbers inside config and input_schema keep their text: 1.10 stays 1.10.
//
// # Checking inputs
//
// [Schemas] is the engine's Schemas for JSON Schema 2020-12 with formats asserted. References to other documents are refused, so that a check
// never does I/O. What it says of a violation never repeats the offending value, which may be a secret.
//
// # What is not promised
//
// Schemas and inputs are bounded by the sizes of package dag, not by time: a schema can be written that is slow to check.
package definition
