"""The mean squares of a table with rows and columns, and one value in each cell (Cornfield and Tukey 1956).

Of seeds that answered the same prompts, rows are seeds and columns are prompts. Of settings that ran on the same seeds,
rows are settings and columns are seeds. Rows and columns are random: a mean square is the residual's variance, plus the
variance of the row or column effects times the number of cells that share an effect.
"""

from dataclasses import dataclass

from rlhf_sweeps.verdicts.student import Floats


@dataclass(frozen=True)
class MeanSquares:
    """Mean squares with their degrees of freedom; 0 where there is a single row or column.

    Attributes:
        rows, row_freedom: between the rows' means.
        columns, column_freedom: between the columns' means.
        residual, residual_freedom: of what remains after the means of rows and columns are subtracted.
    """

    rows: float
    row_freedom: int
    columns: float
    column_freedom: int
    residual: float
    residual_freedom: int


def measure_squares(values: Floats) -> MeanSquares:
    """The mean squares of a table.

    Args:
        values: (rows, columns).
    """
    num_rows, num_columns = values.shape
    freedoms = num_rows - 1, num_columns - 1, (num_rows - 1) * (num_columns - 1)
    mean = values.mean()
    rows = num_columns * float(((values.mean(1) - mean) ** 2).sum())
    columns = num_rows * float(((values.mean(0) - mean) ** 2).sum())
    sums = rows, columns, sum_residual_squares(values)
    squares = [total / freedom if freedom else 0.0 for total, freedom in zip(sums, freedoms, strict=True)]
    return MeanSquares(squares[0], freedoms[0], squares[1], freedoms[1], squares[2], freedoms[2])


def sum_residual_squares(values: Floats) -> float:
    """The sum of squares of what remains after the means of rows and columns are subtracted, (rows, columns)."""
    return float(((values - values.mean(1, keepdims=True) - values.mean(0) + values.mean()) ** 2).sum())
