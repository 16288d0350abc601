package demo

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"

	"github.com/stepwell/stepwell/pkg/dag"
)

// frameEvery is the time between two pictures of the live view.
const frameEvery = 100 * time.Millisecond

// liveView paints a table that changes in place, for a terminal.
type liveView struct {
	out io.Writer
}

func (v *liveView) run(ctx context.Context, p *player, done <-chan struct{}) error {
	program := tea.NewProgram(&liveModel{player: p, done: done}, tea.WithContext(ctx), tea.WithOutput(v.out), tea.WithInput(nil), tea.WithoutSignalHandler())
	if _, err := program.Run(); err != nil && ctx.Err() == nil {
		return fmt.Errorf("live view: %w", err)
	}
	return nil
}

// liveModel asks the player for a snapshot each frame.
type liveModel struct {
	player *player
	done   <-chan struct{}
	orders []order
	now    time.Time
}

type frameMsg time.Time

func frame() tea.Cmd {
	return tea.Tick(frameEvery, func(t time.Time) tea.Msg { return frameMsg(t) })
}

func (m *liveModel) Init() tea.Cmd { return frame() }

func (m *liveModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	if t, ok := msg.(frameMsg); ok {
		m.orders, m.now = m.player.snapshot(), time.Time(t)
		select {
		case <-m.done:
			return m, tea.Quit
		default:
			return m, frame()
		}
	}
	return m, nil
}

func (m *liveModel) View() tea.View {
	var b strings.Builder
	b.WriteString(lipgloss.NewStyle().Faint(true).Render("    order              amount  "+strings.Join(steps(), " → ")) + "\n")
	for i := range m.orders {
		b.WriteString(m.row(&m.orders[i]))
	}
	if waiting := m.awaited(); waiting != "" {
		b.WriteString(lipgloss.NewStyle().Faint(true).Render("\n  … waiting for "+waiting) + "\n")
	}
	return tea.NewView(b.String())
}

// awaited names what the slowest open order waits for, so that the line does not jump about.
func (m *liveModel) awaited() string {
	var open []order
	for i := range m.orders {
		if o := &m.orders[i]; o.ended.IsZero() && o.waiting != "" {
			open = append(open, *o)
		}
	}
	if len(open) > 1 {
		return fmt.Sprintf("%s and %d more", awaitedBy(open[:1]), len(open)-1)
	}
	return awaitedBy(open)
}

func (m *liveModel) row(o *order) string {
	var b strings.Builder
	fmt.Fprintf(&b, "  %d %-16s %8s  ", o.n, o.name, o.amount)
	for _, name := range steps() {
		b.WriteString(cell(o.run.Step(name)))
	}
	b.WriteString("  " + m.outcome(o) + "\n")
	if n := len(o.notes); n > 0 {
		b.WriteString(lipgloss.NewStyle().Faint(true).Render("      "+o.notes[n-1]) + "\n")
	}
	return b.String()
}

func (m *liveModel) outcome(o *order) string {
	switch {
	case !o.ended.IsZero() && o.problem != "":
		return lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true).Render(verdict(o))
	case !o.ended.IsZero():
		return lipgloss.NewStyle().Foreground(lipgloss.Green).Render(verdict(o))
	case o.placed.IsZero():
		return lipgloss.NewStyle().Faint(true).Render(o.what)
	}
	return fmt.Sprintf("%s %.1f s", o.run.State, m.now.Sub(o.placed).Seconds())
}

// cell is one step: its number of attempts in the colour of its state, or a sign for it.
func cell(s StepRun) string {
	style := lipgloss.NewStyle()
	sign := "·"
	switch dag.StepState(s.State) {
	case dag.StepSucceeded:
		style, sign = style.Foreground(lipgloss.Green), "✓"
	case dag.StepFailed:
		style, sign = style.Foreground(lipgloss.Red), "✗"
	case dag.StepRunning:
		style, sign = style.Foreground(lipgloss.Cyan), "▶"
	case dag.StepRetrying:
		style, sign = style.Foreground(lipgloss.Yellow), "↻"
	case dag.StepQueued, dag.StepWaiting:
		style, sign = style.Foreground(lipgloss.Blue), "…"
	case dag.StepSkipped, dag.StepCancelled:
		style, sign = style.Faint(true), "−"
	case dag.StepPending:
		style = style.Faint(true)
	}
	count := " "
	if s.Attempts > 1 {
		count = strconv.Itoa(s.Attempts)
	}
	return style.Render(sign+count) + " "
}
