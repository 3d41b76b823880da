// Maps an adder or subtractor to UltraScale+ carry chains, eight bits a CARRY8.
(* techmap_celltype = "$alu" *)
module carry8_alu (A, B, CI, BI, X, Y, CO);
  parameter A_SIGNED = 0;
  parameter B_SIGNED = 0;
  parameter A_WIDTH = 1;
  parameter B_WIDTH = 1;
  parameter Y_WIDTH = 1;

  input [A_WIDTH-1:0] A;
  input [B_WIDTH-1:0] B;
  input CI, BI;
  output [Y_WIDTH-1:0] X, Y, CO;

  wire _TECHMAP_FAIL_ = A_WIDTH <= 1 || B_WIDTH <= 1 || Y_WIDTH <= 2;

  localparam BLOCKS = (Y_WIDTH + 7) / 8;
  localparam WIDTH = BLOCKS * 8;

  wire [Y_WIDTH-1:0] left, right;
  \$pos #(.A_SIGNED(A_SIGNED), .A_WIDTH(A_WIDTH), .Y_WIDTH(Y_WIDTH)) extend_a (.A(A), .Y(left));
  \$pos #(.A_SIGNED(B_SIGNED), .A_WIDTH(B_WIDTH), .Y_WIDTH(Y_WIDTH)) extend_b (.A(B), .Y(right));

  wire [Y_WIDTH-1:0] other = BI ? ~right : right;
  wire [WIDTH-1:0] propagate = {{(WIDTH - Y_WIDTH){1'b0}}, left ^ other};
  wire [WIDTH-1:0] generated = {{(WIDTH - Y_WIDTH){1'b0}}, left};
  wire [WIDTH-1:0] sum, carry;

  genvar i;
  generate
    for (i = 0; i < BLOCKS; i = i + 1) begin : block
      wire from_below;
      if (i == 0) begin : first
        assign from_below = CI;
      end else begin : next
        assign from_below = carry[8 * i - 1];
      end
      CARRY8 #(.CARRY_TYPE("SINGLE_CY8")) chain (
        .CI(from_below), .CI_TOP(1'b0),
        .DI(generated[8 * i +: 8]), .S(propagate[8 * i +: 8]),
        .O(sum[8 * i +: 8]), .CO(carry[8 * i +: 8])
      );
    end
  endgenerate

  assign X = left ^ other;
  assign Y = sum[Y_WIDTH-1:0];
  assign CO = carry[Y_WIDTH-1:0];
endmodule
