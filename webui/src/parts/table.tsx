// A table that sorts and stays smooth at thousands of rows: only the rows in view are in the
// document, and `aria-rowcount` says how many there are. Called by every list of the UI.
import {
  createColumnHelper, flexRender, getCoreRowModel, getSortedRowModel, useReactTable, type ColumnDef, type SortingState,
} from '@tanstack/react-table';
import { useVirtualizer } from '@tanstack/react-virtual';
import { useMemo, useRef, useState, type ReactNode } from 'react';
import { Icon } from './icons';

export interface Column<T> {
  id: string;
  name: ReactNode;
  cell: (row: T) => ReactNode;
  /** What to sort by; without it the column does not sort. */
  sort?: (row: T) => number | string | null;
  number?: boolean;
  /** Left out on narrow screens. */
  wide?: boolean;
  width?: string;
}

interface Props<T> {
  label: string;
  rows: T[];
  columns: Column<T>[];
  rowKey: (row: T) => string;
  /** Marks a row. */
  rowClass?: (row: T) => string | undefined;
  onRow?: (row: T) => void;
  empty?: ReactNode;
  initialSort?: { id: string; desc: boolean };
  /** Height of the scrolled part, when there are more rows than fit. */
  maxHeight?: number;
  rowHeight?: number;
  /** Scrolls within `maxHeight` even when all rows are in the document. */
  scroll?: boolean;
}

/** Below this many rows all are in the document. */
const VIRTUAL_FROM = 80;

function compare(a: number | string | null, b: number | string | null): number {
  if (a === b) return 0;
  if (a === null) return -1;
  if (b === null) return 1;
  return typeof a === 'number' && typeof b === 'number' ? a - b : String(a).localeCompare(String(b), 'en', { numeric: true });
}

export function Table<T>(props: Props<T>) {
  const { rows, columns, rowKey, label, maxHeight = 520, rowHeight = 37 } = props;
  const [sorting, setSorting] = useState<SortingState>(props.initialSort ? [props.initialSort] : []);
  const box = useRef<HTMLDivElement>(null);
  const definitions = useMemo(() => {
    const helper = createColumnHelper<T>();
    return columns.map(
      (c): ColumnDef<T, unknown> =>
        helper.accessor((row) => (c.sort ? c.sort(row) : null), {
          id: c.id,
          header: () => c.name,
          cell: (context) => c.cell(context.row.original),
          enableSorting: c.sort !== undefined,
          sortDescFirst: c.number ?? false,
          sortingFn: (a, b, id) => compare(a.getValue(id), b.getValue(id)),
        }) as ColumnDef<T, unknown>,
    );
  }, [columns]);
  const table = useReactTable({
    data: rows,
    columns: definitions,
    state: { sorting },
    onSortingChange: setSorting,
    getCoreRowModel: getCoreRowModel(),
    getSortedRowModel: getSortedRowModel(),
    getRowId: rowKey,
  });
  const sorted = table.getRowModel().rows;
  const virtual = sorted.length > VIRTUAL_FROM;
  const window = useVirtualizer({
    count: virtual ? sorted.length : 0,
    getScrollElement: () => box.current,
    estimateSize: () => rowHeight,
    overscan: 12,
    initialRect: { width: 800, height: maxHeight },
  });
  const items = window.getVirtualItems();
  const shown = virtual ? items.map((i) => sorted[i.index]) : sorted;
  const above = virtual && items.length > 0 ? items[0].start : 0;
  const below = virtual && items.length > 0 ? window.getTotalSize() - items[items.length - 1].end : 0;
  const first = virtual && items.length > 0 ? items[0].index : 0;
  const byId = useMemo(() => new Map(columns.map((c) => [c.id, c])), [columns]);
  const cellClass = (id: string) => {
    const c = byId.get(id);
    return `${c?.number ? 'number' : ''}${c?.wide ? ' wide' : ''}`;
  };
  if (rows.length === 0 && props.empty) return <>{props.empty}</>;
  return (
    <div className="table-box" ref={box} tabIndex={0} role="region" aria-label={label} style={virtual || props.scroll ? { maxHeight } : undefined}>
      <table aria-label={label} aria-rowcount={virtual ? sorted.length + 1 : undefined} className={virtual ? 'virtual' : undefined}>
        <thead>
          <tr>
            {table.getFlatHeaders().map((header) => {
              const order = header.column.getIsSorted();
              const sortable = header.column.getCanSort();
              return (
                <th
                  key={header.id}
                  scope="col"
                  className={cellClass(header.column.id)}
                  style={{ width: byId.get(header.column.id)?.width }}
                  aria-sort={order === 'asc' ? 'ascending' : order === 'desc' ? 'descending' : undefined}
                >
                  {sortable ? (
                    <button type="button" onClick={header.column.getToggleSortingHandler()}>
                      {flexRender(header.column.columnDef.header, header.getContext())}
                      {order && <Icon name={order === 'asc' ? 'up' : 'down'} />}
                    </button>
                  ) : (
                    flexRender(header.column.columnDef.header, header.getContext())
                  )}
                </th>
              );
            })}
          </tr>
        </thead>
        <tbody>
          {above > 0 && <Spacer height={above} columns={columns.length} />}
          {shown.map((row, i) => (
            <tr
              key={row.id}
              aria-rowindex={virtual ? first + i + 2 : undefined}
              className={`${props.rowClass?.(row.original) ?? ''}${props.onRow ? ' clickable' : ''}`}
              onClick={
                props.onRow
                  ? (event) => {
                      // Links and buttons in the row do their own.
                      if (!(event.target as HTMLElement).closest('a, button')) props.onRow?.(row.original);
                    }
                  : undefined
              }
            >
              {row.getVisibleCells().map((cell) => (
                <td key={cell.id} className={cellClass(cell.column.id)}>
                  {flexRender(cell.column.columnDef.cell, cell.getContext())}
                </td>
              ))}
            </tr>
          ))}
          {below > 0 && <Spacer height={below} columns={columns.length} />}
        </tbody>
      </table>
    </div>
  );
}

const Spacer = ({ height, columns }: { height: number; columns: number }) => (
  <tr aria-hidden="true" className="spacer">
    <td colSpan={columns} style={{ height }} />
  </tr>
);
