-- The same tables for the engine that gives the golden results.
CREATE TABLE orders AS SELECT * FROM read_csv('tables/orders.csv', columns = {'id': 'BIGINT', 'customer': 'BIGINT', 'product': 'VARCHAR', 'quantity': 'INTEGER', 'price': 'DECIMAL(10, 2)', 'coupon': 'VARCHAR', 'ts': 'TIMESTAMP'});
CREATE TABLE payments AS SELECT * FROM read_csv('tables/payments.csv', columns = {'id': 'BIGINT', 'order_id': 'BIGINT', 'method': 'VARCHAR', 'amount': 'DECIMAL(10, 2)', 'ts': 'TIMESTAMP'});
CREATE TABLE customers AS SELECT * FROM read_csv('tables/customers.csv', columns = {'id': 'BIGINT', 'name': 'VARCHAR', 'city': 'VARCHAR', 'level': 'INTEGER'});
CREATE TABLE rates AS SELECT * FROM read_csv('tables/rates.csv', columns = {'currency': 'VARCHAR', 'rate': 'DECIMAL(10, 4)', 'ts': 'TIMESTAMP'});
CREATE TABLE trades AS SELECT * FROM read_csv('tables/trades.csv', columns = {'id': 'BIGINT', 'currency': 'VARCHAR', 'amount': 'BIGINT', 'ts': 'TIMESTAMP'});
CREATE TABLE clicks AS SELECT * FROM read_csv('tables/clicks.csv', columns = {'id': 'BIGINT', 'user_id': 'BIGINT', 'page': 'VARCHAR', 'dwell': 'INTEGER', 'ts': 'TIMESTAMP'});
CREATE TABLE late AS SELECT * FROM read_csv('tables/late.csv', columns = {'id': 'BIGINT', 'k': 'VARCHAR', 'v': 'INTEGER', 'late': 'BOOLEAN', 'ts': 'TIMESTAMP'});
CREATE TABLE samples AS SELECT * FROM read_csv('tables/samples.csv', columns = {'id': 'BIGINT', 'b': 'BOOLEAN', 'ti': 'TINYINT', 'si': 'SMALLINT', 'i': 'INTEGER', 'l': 'BIGINT', 'f': 'FLOAT', 'd': 'DOUBLE', 'de': 'DECIMAL(12, 3)', 's': 'VARCHAR', 'dt': 'DATE', 'tm': 'TIME', 'ts': 'TIMESTAMP'});
CREATE TABLE carts AS SELECT * FROM read_json('tables/carts.jsonl', format = 'newline_delimited', columns = {'id': 'BIGINT', 'items': 'VARCHAR[]', 'counts': 'INTEGER[]', 'props': 'MAP(VARCHAR, INTEGER)', 'home': 'STRUCT(city VARCHAR, zip INTEGER)', 'ts': 'TIMESTAMP'});
