-- +goose Up
INSERT INTO products (id, name, price_cents, stock, sku, category) VALUES
    (1, 'Wireless Bluetooth Headphones', 12999, 25, 'WBH-001', 'Electronics'),
    (2, 'Organic Cotton T-Shirt', 2499, 100, 'OCT-001', 'Clothing'),
    (3, 'Stainless Steel Water Bottle', 3499, 50, 'SSW-001', 'Home & Garden'),
    (4, 'Yoga Exercise Mat', 3999, 30, 'YEM-001', 'Sports & Outdoors'),
    (5, 'Coffee Bean Grinder', 8999, 15, 'CBG-001', 'Kitchen'),
    (6, 'Reading Glasses', 1999, 75, 'RG-001', 'Health & Beauty'),
    (7, 'Desk Organizer', 2999, 40, 'DO-001', 'Office Supplies'),
    (8, 'Phone Case', 1599, 200, 'PC-001', 'Electronics');

-- +goose Down
DELETE FROM products WHERE id BETWEEN 1 AND 8;
