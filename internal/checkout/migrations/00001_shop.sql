-- The same text runs on SQLite and on PostgreSQL. Amounts are whole cents, times are UTC.

-- +goose Up
CREATE TABLE products (
    id          BIGINT PRIMARY KEY,
    name        TEXT NOT NULL,
    price_cents BIGINT NOT NULL CHECK (price_cents >= 0),
    stock       BIGINT NOT NULL CHECK (stock >= 0),
    sku         TEXT NOT NULL UNIQUE,
    category    TEXT NOT NULL,
    active      BOOLEAN NOT NULL DEFAULT TRUE
);

CREATE TABLE reservations (
    id             TEXT PRIMARY KEY,
    run_id         TEXT NOT NULL,
    product_id     BIGINT NOT NULL REFERENCES products (id),
    quantity       BIGINT NOT NULL CHECK (quantity > 0),
    previous_stock BIGINT NOT NULL,
    new_stock      BIGINT NOT NULL,
    effect_key     TEXT NOT NULL,
    created_at     TIMESTAMP NOT NULL,
    UNIQUE (run_id, product_id)
);

CREATE TABLE orders (
    id                 TEXT PRIMARY KEY,
    order_number       TEXT NOT NULL UNIQUE,
    run_id             TEXT NOT NULL UNIQUE,
    effect_key         TEXT NOT NULL,
    status             TEXT NOT NULL CHECK (status IN ('pending', 'confirmed', 'processing', 'shipped', 'delivered', 'cancelled', 'refunded')),
    customer_email     TEXT NOT NULL,
    customer_name      TEXT NOT NULL,
    customer_phone     TEXT NOT NULL,
    subtotal_cents     BIGINT NOT NULL,
    tax_cents          BIGINT NOT NULL,
    shipping_cents     BIGINT NOT NULL,
    total_cents        BIGINT NOT NULL,
    payment_id         TEXT NOT NULL,
    payment_status     TEXT NOT NULL,
    transaction_id     TEXT NOT NULL,
    items              TEXT NOT NULL, -- JSON
    item_count         BIGINT NOT NULL,
    created_at         TIMESTAMP NOT NULL,
    updated_at         TIMESTAMP NOT NULL
);

-- +goose Down
DROP TABLE orders;
DROP TABLE reservations;
DROP TABLE products;
