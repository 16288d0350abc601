package checkout_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/stepwell/stepwell/internal/checkout"
)

func TestOpenNamesTheFormsItAccepts(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{"", "shop.db", "mysql://root@localhost/shop", "sqlite:", "sqlite::memory:", "postgres//x"} {
		_, err := checkout.Open(t.Context(), dsn, checkout.Config{})
		if err == nil || !strings.Contains(err.Error(), "sqlite:PATH") || !strings.Contains(err.Error(), "postgres://") {
			t.Errorf("%q: %v", dsn, err)
		}
	}
	for _, dsn := range []string{"postgres://ada:s3cret@127.0.0.1:1/shop", "postgres://ada:s3cret@host:notaport/shop", "pg://ada:s3cret@host"} {
		_, err := checkout.Open(t.Context(), dsn, checkout.Config{})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%q: %v, want an error without the password", dsn, err)
		}
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, dsn(t))
			all, err := s.Stock(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var lines []string
			for _, p := range all {
				lines = append(lines, fmt.Sprintf("%d %s %s %d %s %s %t", p.ID, p.Name, p.Price, p.Stock, p.SKU, p.Category, p.Active))
			}
			want := []string{
				"1 Wireless Bluetooth Headphones 129.99 25 WBH-001 Electronics true",
				"2 Organic Cotton T-Shirt 24.99 100 OCT-001 Clothing true",
				"3 Stainless Steel Water Bottle 34.99 50 SSW-001 Home & Garden true",
				"4 Yoga Exercise Mat 39.99 30 YEM-001 Sports & Outdoors true",
				"5 Coffee Bean Grinder 89.99 15 CBG-001 Kitchen true",
				"6 Reading Glasses 19.99 75 RG-001 Health & Beauty true",
				"7 Desk Organizer 29.99 40 DO-001 Office Supplies true",
				"8 Phone Case 15.99 200 PC-001 Electronics true",
			}
			if diff := cmp.Diff(want, lines); diff != "" {
				t.Error(diff)
			}
			if err := errors.Join(s.Restock(t.Context(), 5, 10), s.SetActive(t.Context(), 5, false)); err != nil {
				t.Fatal(err)
			}
			got, err := s.Products(t.Context(), []int64{5, 99})
			if err != nil || len(got) != 1 || got[5].Stock != 25 || got[5].Active {
				t.Errorf("after restocking: %+v, %v", got, err)
			}
			if err := s.Restock(t.Context(), 99, 1); !errors.Is(err, checkout.ErrNoProduct) {
				t.Errorf("restocking nothing: %v", err)
			}
			if err := s.Restock(t.Context(), 5, 0); err == nil {
				t.Error("restocked by 0")
			}
		})
	}
}

func TestProcessesMayOpenTheSameDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := dsn(t)
			var g errgroup.Group
			for range 6 {
				g.Go(func() error {
					s, err := checkout.Open(t.Context(), where, checkout.Config{})
					if err != nil {
						return err
					}
					all, err := s.Stock(t.Context())
					if err == nil && len(all) != 8 {
						err = fmt.Errorf("%d products, want 8", len(all))
					}
					return errors.Join(err, s.Close())
				})
			}
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Forty runs want product 5, of which there are 15; each asks four times at once, through two connections pools as two workers would.
func TestReservationRace(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := dsn(t)
			workers := []*checkout.Shop{open(t, where), open(t, where)}
			var mu sync.Mutex
			got := map[string]map[string]bool{}
			var g errgroup.Group
			for i := range 40 {
				for dup := range 4 {
					run := fmt.Sprintf("run_%02d", i)
					// Half of the carts name the products in the other order: that must not make them wait for each other.
					wants := []checkout.Want{{ProductID: 5, Quantity: 1}, {ProductID: 8, Quantity: 2}}
					if i%2 == 1 {
						wants[0], wants[1] = wants[1], wants[0]
					}
					g.Go(func() error {
						made, err := workers[dup%2].Reserve(t.Context(), run, run+":update_inventory", wants)
						if _, short := errors.AsType[*checkout.ShortError](err); short {
							return nil
						}
						mu.Lock()
						defer mu.Unlock()
						if got[run] == nil {
							got[run] = map[string]bool{}
						}
						got[run][fmt.Sprintf("%+v", made)] = true
						return err
					})
				}
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			for run, answers := range got {
				if len(answers) != 1 {
					t.Errorf("%s got %d different answers: %v", run, len(answers), answers)
				}
			}
			checkBooks(t, workers[0], len(got))
		})
	}
}

func checkBooks(t *testing.T, s *checkout.Shop, runs int) {
	t.Helper()
	all, err := s.Reservations(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stock, err := s.Products(t.Context(), []int64{5, 8})
	if err != nil {
		t.Fatal(err)
	}
	if runs != 15 || len(all) != 30 {
		t.Errorf("%d runs reserved, %d reservations; want 15 and 30", runs, len(all))
	}
	if stock[5].Stock != 0 || stock[8].Stock != 200-30 {
		t.Errorf("stock of product 5 is %d, of 8 %d; want 0 and 170", stock[5].Stock, stock[8].Stock)
	}
	for _, r := range all {
		if r.NewStock < 0 || r.PreviousStock-r.Quantity != r.NewStock {
			t.Errorf("reservation %+v", r)
		}
	}
}

func TestReserveIsAllOrNothing(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, dsn(t))
			_, err := s.Reserve(t.Context(), "run_a", "k", []checkout.Want{{ProductID: 1, Quantity: 2}, {ProductID: 5, Quantity: 16}})
			short, ok := errors.AsType[*checkout.ShortError](err)
			if !ok || short.Error() != "Stock not available for Coffee Bean Grinder. Available: 15, Needed: 16" {
				t.Fatalf("%v", err)
			}
			if _, err := s.Reserve(t.Context(), "run_a", "k", []checkout.Want{{ProductID: 1, Quantity: 2}, {ProductID: 99, Quantity: 1}}); !errors.Is(err, checkout.ErrNoProduct) {
				t.Fatalf("%v", err)
			}
			if all, err := s.Reservations(t.Context()); err != nil || len(all) != 0 {
				t.Errorf("%v, %v; want nothing reserved", all, err)
			}
			if p, err := s.Products(t.Context(), []int64{1}); err != nil || p[1].Stock != 25 {
				t.Errorf("%v, %v; want the stock untouched", p, err)
			}
			made, err := s.Reserve(t.Context(), "run_a", "k", []checkout.Want{{ProductID: 5, Quantity: 8}, {ProductID: 5, Quantity: 7}})
			if err != nil || len(made) != 1 || made[0].Quantity != 15 || made[0].NewStock != 0 || !made[0].CreatedAt.Equal(noon()) {
				t.Errorf("two lines of one product: %+v, %v", made, err)
			}
		})
	}
}

func TestOneOrderPerRun(t *testing.T) {
	t.Parallel()
	for name, dsn := range databases() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			where := dsn(t)
			workers := []*checkout.Shop{open(t, where), open(t, where)}
			var mu sync.Mutex
			answers := map[string]bool{}
			var g errgroup.Group
			for i := range 20 {
				g.Go(func() error {
					o, err := workers[i%2].PlaceOrder(t.Context(), anOrder("run_a"))
					mu.Lock()
					defer mu.Unlock()
					answers[fmt.Sprintf("%+v", o)] = true
					return err
				})
			}
			if err := g.Wait(); err != nil {
				t.Fatal(err)
			}
			if len(answers) != 1 {
				t.Errorf("%d different answers: %v", len(answers), answers)
			}
			if _, err := workers[0].PlaceOrder(t.Context(), anOrder("run_b")); err != nil {
				t.Fatal(err)
			}
			all, err := workers[0].Orders(t.Context())
			if err != nil || len(all) != 2 {
				t.Fatalf("%d orders, %v; want 2", len(all), err)
			}
			i := 0
			if all[1].Run == "run_a" {
				i = 1
			}
			checkOrder(t, all[i])
		})
	}
}

func anOrder(run string) checkout.Order {
	return checkout.Order{
		Run: run, EffectKey: run + ":create_order", Status: checkout.OrderConfirmed,
		Customer: checkout.CustomerInfo{Email: "ada@example.org", Name: "Ada", Phone: "1"},
		Items:    []checkout.Line{{ProductID: 7, Name: "Desk Organizer", Price: checkout.Cents(2999), Quantity: 1, LineTotal: checkout.Cents(2999)}},
		Subtotal: checkout.Cents(2999), Tax: checkout.Cents(240), Shipping: checkout.Cents(599), Total: checkout.Cents(3838), ItemCount: 1,
		PaymentID: "ch_1", PaymentStatus: "completed", TransactionID: "txn_1",
	}
}

func checkOrder(t *testing.T, got checkout.Order) {
	t.Helper()
	want := anOrder("run_a")
	want.ID, want.Number, want.CreatedAt, want.UpdatedAt = got.ID, got.Number, noon(), noon()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !regexp.MustCompile(`^ORD-20260314-[0-9A-F]{8}$`).MatchString(got.Number) {
		t.Errorf("order number %s", got.Number)
	}
	if !regexp.MustCompile(`^ord_[0-9a-f]{20}$`).MatchString(got.ID) {
		t.Errorf("order ID %s", got.ID)
	}
}

// Another order of the day has the number that this one would get.
func TestOrderNumbersThatAreTaken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shop.db")
	s := open(t, "sqlite:"+path)
	first, err := s.PlaceOrder(t.Context(), anOrder("run_a"))
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := db.ExecContext(t.Context(), "UPDATE orders SET id = 'ord_other', run_id = 'run_other'"); err != nil {
		t.Fatal(err)
	}
	second, err := s.PlaceOrder(t.Context(), anOrder("run_a"))
	if err != nil || second.Number == first.Number || second.Run != "run_a" {
		t.Errorf("%+v, %v; want another number than %s", second, err, first.Number)
	}
}
