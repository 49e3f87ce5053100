"""The colours of all figures."""

# Okabe and Ito's colours, told apart by colour-blind readers (https://jfly.uni-koeln.de/color/), black last.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#000000")
