// Package ui speaks with people and programs: results, errors with hints,
// progress, tables, sizes and JSON.
package ui
