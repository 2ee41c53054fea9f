// Command chart draws what TestBenchNames has measured: a file of lines
// "kind,number of files,value" becomes a PNG with a line for each kind.
// It is a module of its own, so that walfs needs none of the drawing libraries.
//
//	chart TITLE UNIT FILE.csv FILE.png
package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
)

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: chart TITLE UNIT FILE.csv FILE.png")
		os.Exit(2)
	}
	if err := draw(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func draw(title, unit, from, to string) error {
	lines, err := read(from)
	if err != nil {
		return err
	}
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, "files", unit
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	p.Y.Min = 0
	p.Legend.Top, p.Legend.Left = true, true
	if err := plotutil.AddLinePoints(p, lines...); err != nil {
		return err
	}
	p.Y.Max *= 1 + float64(len(lines)/2)/10 // the legend stands above the lines
	return p.Save(18*vg.Centimeter, 14*vg.Centimeter, to)
}

// read returns names and points in turn, as the plotter wants them.
func read(path string) ([]any, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	points := map[string]plotter.XYs{}
	var kinds []string
	for i, row := range rows {
		if len(row) != 3 {
			return nil, fmt.Errorf("%s: line %d has %d fields, not 3", path, i+1, len(row))
		}
		x, errX := strconv.ParseFloat(row[1], 64)
		y, errY := strconv.ParseFloat(row[2], 64)
		if errX != nil || errY != nil {
			return nil, fmt.Errorf("%s: line %d: no numbers", path, i+1)
		}
		if points[row[0]] == nil {
			kinds = append(kinds, row[0])
		}
		points[row[0]] = append(points[row[0]], plotter.XY{X: x, Y: y})
	}
	var lines []any
	for _, kind := range kinds {
		lines = append(lines, kind, points[kind])
	}
	return lines, nil
}
