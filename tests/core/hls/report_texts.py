"""Reports written for the tests, in the form in which the tools print them; the figures are made up."""

CSYNTH_XML = """<?xml version="1.0"?>
<profile>
<section name="Vitis HLS Report for 'top'" level="0"/>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments><unit>ns</unit><ProductFamily>virtexuplus</ProductFamily><Part>xcvu9p-flgb2104-2L-e</Part>
<TopModelName>top</TopModelName><TargetClockPeriod>5.00</TargetClockPeriod><ClockUncertainty>1.35</ClockUncertainty>
<FlowTarget>vivado</FlowTarget></UserAssignments>
<PerformanceEstimates><PipelineType>yes</PipelineType>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>3.571</EstimatedClockPeriod></SummaryOfTimingAnalysis>
<SummaryOfOverallLatency><unit>clock cycles</unit><Best-caseLatency>11</Best-caseLatency>
<Average-caseLatency>11</Average-caseLatency><Worst-caseLatency>11</Worst-caseLatency>
<Best-caseRealTimeLatency>55.000 ns</Best-caseRealTimeLatency>
<Interval-min>1</Interval-min><Interval-max>1</Interval-max>
</SummaryOfOverallLatency></PerformanceEstimates>
<AreaEstimates><Resources><BRAM_18K>5</BRAM_18K><DSP>124</DSP><FF>8128</FF><LUT>39782</LUT><URAM>0</URAM></Resources>
<AvailableResources><BRAM_18K>4320</BRAM_18K><DSP>6840</DSP><FF>2364480</FF><LUT>1182240</LUT><URAM>960</URAM>
</AvailableResources></AreaEstimates>
</profile>
"""

CSYNTH_RPT = """

================================================================
== Vitis HLS Report for 'top'
================================================================
* Date:           Mon Jan  8 10:00:00 2024

* Version:        2023.2 (Build 4023990 on Oct 11 2023)
* Project:        top_prj
* Solution:       solution1 (Vivado IP Flow Target)
* Product family: virtexuplus
* Target device:  xcvu9p-flgb2104-2L-e


================================================================
== Performance Estimates
================================================================
+ Timing:
    * Summary:
    +--------+---------+----------+------------+
    |  Clock |  Target | Estimated| Uncertainty|
    +--------+---------+----------+------------+
    |ap_clk  |  5.00 ns|  3.571 ns|     1.35 ns|
    +--------+---------+----------+------------+

+ Latency:
    * Summary:
    +---------+---------+-----------+-----------+-----+-----+---------+
    |  Latency (cycles) |   Latency (absolute)  |  Interval | Pipeline|
    |   min   |   max   |    min    |    max    | min | max |   Type  |
    +---------+---------+-----------+-----------+-----+-----+---------+
    |        9|       11|  45.000 ns|  55.000 ns|    1|    2|      yes|
    +---------+---------+-----------+-----------+-----+-----+---------+

    + Detail:
        * Instance:
        |dense_U0  |dense_s  |        7|        7|  35.000 ns|  35.000 ns|    7|    7|       no|


================================================================
== Utilization Estimates
================================================================
* Summary:
+---------------------+---------+------+---------+---------+-----+
|         Name        | BRAM_18K|  DSP |    FF   |   LUT   | URAM|
+---------------------+---------+------+---------+---------+-----+
|DSP                  |        -|     -|        -|        -|    -|
|Instance             |        5|   124|     8000|    39700|    -|
|Register             |        -|     -|      128|       82|    -|
+---------------------+---------+------+---------+---------+-----+
|Total                |        5|   124|     8128|    39782|    0|
+---------------------+---------+------+---------+---------+-----+
|Available SLR        |     1440|  2280|   788160|   394080|  320|
+---------------------+---------+------+---------+---------+-----+
|Utilization SLR (%)  |       ~0|     5|        1|       10|    0|
+---------------------+---------+------+---------+---------+-----+
|Available            |     4320|  6840|  2364480|  1182240|  960|
+---------------------+---------+------+---------+---------+-----+
|Utilization (%)      |       ~0|     1|       ~0|        3|    0|
+---------------------+---------+------+---------+---------+-----+

+ Detail:
    * Instance:
    |Total                |        9|     9|        9|        9|    9|
"""

OLD_CSYNTH_RPT = """
== Vivado HLS Report for 'top'
* Version:        2018.2 (Build 2258646 on Thu Jun 14 20:25:20 MDT 2018)
* Target device:  xc7z020clg400-1
== Performance Estimates
+ Timing (ns):
    * Summary:
    |  Clock |  Target| Estimated| Uncertainty|
    |ap_clk  |    5.00|      4.37|        0.63|
+ Latency (clock cycles):
    * Summary:
    |  Latency  |  Interval | Pipeline |
    | min | max | min | max |   Type   |
    |    ?|    ?|    ?|    ?|   none   |
    + Detail:
== Utilization Estimates
* Summary:
|       Name      | BRAM_18K| DSP48E|   FF   |  LUT  |
|Total            |        0|     73|    7969|   2532|
|Available        |      280|    220|  106400|  53200|
+ Detail:
"""

UTILIZATION = """Copyright 1986-2022 Xilinx, Inc. All Rights Reserved. Copyright 2022-2023 Advanced Micro Devices, Inc.
---------------------------------------------------------------------------------------------------------
| Tool Version : Vivado v.2023.2 (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Date         : Mon Jan  8 10:00:00 2024
| Command      : report_utilization -file top_post_route_util.rpt
| Design       : top
| Device       : xcvu9p-flgb2104-2L-e
| Speed File   : -2L
| Design State : Routed
---------------------------------------------------------------------------------------------------------

Utilization Design Information

Table of Contents
-----------------
1. CLB Logic
2. CLB Logic Distribution
3. BLOCKRAM
4. ARITHMETIC

1. CLB Logic
------------

+----------------------------+-------+-------+------------+-----------+-------+
|          Site Type         |  Used | Fixed | Prohibited | Available | Util% |
+----------------------------+-------+-------+------------+-----------+-------+
| CLB LUTs                   | 27683 |     0 |          0 |   1182240 |  2.34 |
|   LUT as Logic             | 27683 |     0 |          0 |   1182240 |  2.34 |
| CLB Registers              | 14119 |     0 |          0 |   2364480 |  0.60 |
|   Register as Flip Flop    | 14119 |     0 |          0 |   2364480 |  0.60 |
+----------------------------+-------+-------+------------+-----------+-------+

2. CLB Logic Distribution
-------------------------

+--------------------------------------------+-------+-------+------------+-----------+-------+
|                  Site Type                 |  Used | Fixed | Prohibited | Available | Util% |
+--------------------------------------------+-------+-------+------------+-----------+-------+
| CLB                                        |  4900 |     0 |          0 |    147780 |  3.32 |
| CLB Registers                              |     1 |     0 |          0 |         1 |  1.00 |
+--------------------------------------------+-------+-------+------------+-----------+-------+

3. BLOCKRAM
-----------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    |  2.5 |     0 |          0 |      2160 |  0.12 |
|   RAMB18          |    1 |     0 |          0 |      4320 |  0.02 |
| URAM              |    3 |     0 |          0 |       960 |  0.31 |
+-------------------+------+-------+------------+-----------+-------+

4. ARITHMETIC
-------------

+-----------+------+-------+------------+-----------+-------+
| Site Type | Used | Fixed | Prohibited | Available | Util% |
+-----------+------+-------+------------+-----------+-------+
| DSPs      |    7 |     0 |          0 |      6840 |  0.10 |
+-----------+------+-------+------------+-----------+-------+
"""

TIMING = """
| Tool Version : Vivado v.2023.2 (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Command      : report_timing_summary -file top_post_route_timing.rpt
| Design       : top
| Device       : xcvu9p-flgb2104

------------------------------------------------------------------------------------------------
| Design Timing Summary
| ---------------------
------------------------------------------------------------------------------------------------

    WNS(ns)      TNS(ns)  TNS Failing Endpoints  TNS Total Endpoints      WHS(ns)      THS(ns)
    -------      -------  ---------------------  -------------------      -------      -------
     -0.123       -1.500                     17                 1696        0.057        0.000


Timing constraints are not met.


------------------------------------------------------------------------------------------------
| Clock Summary
| -------------
------------------------------------------------------------------------------------------------

Clock    Waveform(ns)       Period(ns)      Frequency(MHz)
-----    ------------       ----------      --------------
sys_clk  {0.000 2.500}        5.000           200.000
"""

POWER = """
| Tool Version     : Vivado v.2023.2 (lin64) Build 4029153 Fri Oct 13 20:13:54 MDT 2023
| Design State     : routed

1. Summary
----------

+--------------------------+--------------+
| Total On-Chip Power (W)  | 3.501        |
| Design Power Budget (W)  | Unspecified* |
| Dynamic (W)              | 0.921        |
| Device Static (W)        | 2.580        |
| Confidence Level         | Medium       |
+--------------------------+--------------+
"""

COSIM = """
C/RTL Cosimulation Report for 'top'

+----------+----------+-----------------------------------------------+-----------------------------------------------+
|          |          |            Latency(Clock Cycles)              |              Interval(Clock Cycles)           |
+   RTL    +  Status  +-----------------------------------------------+-----------------------------------------------+
|          |          |      min      |      avg      |      max      |      min      |      avg      |      max      |
+----------+----------+-----------------------------------------------+-----------------------------------------------+
|      VHDL|        NA|             NA|             NA|             NA|             NA|             NA|             NA|
|   Verilog|      Pass|             10|             11|             12|              1|              1|              2|
+----------+----------+-----------------------------------------------+-----------------------------------------------+
"""

FIT = """Fitter report for top
+-----------------------------------------------------------------------------------+
; Fitter Summary                                                                    ;
+---------------------------------+-------------------------------------------------+
; Fitter Status                   ; Successful - Mon Jan  8 10:00:00 2024           ;
; Quartus Prime Version           ; 23.1.0 Build 115 03/30/2023 SC Pro Edition      ;
; Revision Name                   ; top                                             ;
; Family                          ; Arria 10                                        ;
; Device                          ; 10AX115N2F45E1SG                                ;
; Timing Models                   ; Final                                           ;
; Logic utilization (in ALMs)     ; 9,124 / 427,200 ( 2 % )                         ;
; Total dedicated logic registers ; 14,119                                          ;
; Total block memory bits         ; 20,480 / 55,562,240 ( < 1 % )                   ;
; Total RAM Blocks                ; 4 / 2,713 ( < 1 % )                             ;
; Total DSP Blocks                ; 66 / 1,518 ( 4 % )                              ;
+---------------------------------+-------------------------------------------------+

; Combinational ALUT usage for logic                          ; 16,310             ;       ;
"""

STA = """Timing Analyzer report for top
; Quartus Prime Version ; Version 23.1.0 Build 115 03/30/2023 SC Pro Edition ;

+--------------------------------------------------------------------+
; Clocks                                                             ;
+------------+------+--------+-----------+-------+-------+-----------+
; Clock Name ; Type ; Period ; Frequency ; Rise  ; Fall  ; Targets   ;
+------------+------+--------+-----------+-------+-------+-----------+
; sys_clk    ; Base ; 5.000  ; 200.0 MHz ; 0.000 ; 2.500 ; { clk }   ;
+------------+------+--------+-----------+-------+-------+-----------+

+------------------------------------------+
; Slow 900mV 100C Model Setup Summary      ;
+---------+-------+---------------+--------+
; Clock   ; Slack ; End Point TNS ; Failing;
+---------+-------+---------------+--------+
; sys_clk ; 0.731 ; 0.000         ; 0      ;
+---------+-------+---------------+--------+

+------------------------------------------+
; Slow 900mV 0C Model Setup Summary        ;
+---------+-------+---------------+--------+
; Clock   ; Slack ; End Point TNS ; Failing;
+---------+-------+---------------+--------+
; sys_clk ; 0.512 ; 0.000         ; 0      ;
+---------+-------+---------------+--------+

+------------------------------------------+
; Slow 900mV 0C Model Hold Summary         ;
+---------+-------+---------------+--------+
; sys_clk ; 0.021 ; 0.000         ; 0      ;
+---------+-------+---------------+--------+
"""

HLS_JS = {
    "report_data.js": 'var loopsJSON={"columns":["","Pipelined"]};\n'
                      'var areaJSON={"children":[{"name":"top","data":[1,2,3,4,5]}],'
                      '"max_resources":[854400,1708800,2713,1518,42720],"total":[16310,14119,4,66,12],"total_percent":'
                      '[1.9,0.8,0.1,4.3,0.0],"type":"module"};\n'
                      'var fileJSON=[{"content":"int main(){ return \\"}\\"; }"}];\n',
    "verification_data.js": "var verifJSON={functions:[{name:'top',data:['100','21,25,23','1,2,1']}]};\n",
    "quartus_data.js": 'var quartusJSON={quartusFitClockSummary:{nodes:[{name:"Clock","clock":"TBD"}]},'
                       'quartusFitResourceUsageSummary:{nodes:[]}};\n',
}

ONEAPI = {
    "summary.ndjson": '{"name":"Estimated Resource Usage", "summary_type":"estimatedResources", '
                      '"columns":["Kernel Name"]}\n'
                      '{"name":"Top", "parent":"estimatedResources", "data":[95, 82, 2, 0, 1, 0]}\n'
                      '{"name":"Total", "parent":"estimatedResources", "data":[2462, 7938, 77, 92, 80, 0]}\n'
                      '{"name":"Available", "parent":"estimatedResources", '
                      '"data":["974400","1948800","7110","4510","24360"]}\n',
    "loop_attr.ndjson": '{"name":"loop_attributes", "id":312, "nodes":[1, 3]}\n'
                        '{"name":"Top.B0", "id":4, "af":"480.00", "ii":"1", "lt":"17.000000", "type":"bb"}\n'
                        '{"name":"Top.B1", "id":5, "af":"480.00", "ii":"3", "lt":"176.000000", "type":"loop"}\n'
                        '{"name":"Top.B2", "id":6, "af":"480.00", "ii":"n/a", "lt":"20.000000", "type":"bb"}\n',
}

ONEAPI_FIT = ('{"quartusFitClockSummary":{"nodes":[{"name":"Clock","clock fmax":"597.73","clock":"597.73"}]},'
              '"quartusFitResourceUsageSummary":{"nodes":[{"type":"kernel","name":"Top","alm":"4520.0","alut":"4181",'
              '"reg":"16419","dsp":"40","ram":"36","mlab":"52"}]}}\n')

CATAPULT = """-- Catapult Ultra Synthesis 2023.2/1059873 (Production Release) Mon Aug  7 21:58:35 PDT 2023
Processes/Blocks in Design
  Process       Real Operation(s) count Latency Throughput Reset Length II Comments
  ------------- ----------------------- ------- ---------- ------------ -- --------
  /top/dense                         63       2          1            1  0
  Design Total:                      63      12          1            1  1

Clock Information
  Clock Signal Edge   Period Sharing Alloc (%) Uncertainty Used by Processes/Blocks
  ------------ ------ ------ ----------------- ----------- ------------------------
  clk          rising  5.000             20.00    0.000000 /top/dense

Area Scores
                      Post-Scheduling    Post-DP & FSM Post-Assignment
    ----------------- --------------- ---------------- ---------------
    Total Area Score:     1689.0          1721.0          1555.2

Timing
  Critical Path 1
    Max Delay: 4.735
    Slack:     0.265
  Critical Path 2
    Max Delay: 4.700
    Slack:     0.300
"""

SMARTHLS = """====== 1. Simulation Result ======
+----------------+-----------------+--------------------------+-----------------------------+------------------------+
| Top-Level Name | Number of calls | Simulation time (cycles) | Call Latency (min/max/avg)  | Call II (min/max/avg)  |
+----------------+-----------------+--------------------------+-----------------------------+------------------------+
| top            | 10              | 240                      | 12 / 14 / 13                | 1 / 2 / 1              |
+----------------+-----------------+--------------------------+-----------------------------+------------------------+
SW/HW co-simulation: PASS

====== 2. Timing Result ======
+--------------+---------------+-------------+-------------+----------+-------------+
| Clock Domain | Target Period | Target Fmax | Worst Slack | Period   | Fmax        |
+--------------+---------------+-------------+-------------+----------+-------------+
| clk          | 5.000 ns      | 200.000 MHz | 0.731 ns    | 4.269 ns | 234.247 MHz |
+--------------+---------------+-------------+-------------+----------+-------------+

====== 3. Resource Usage ======
+--------------------------+-------+--------+------------+
| Resource Type            | Used  | Total  | Percentage |
+--------------------------+-------+--------+------------+
| Fabric + Interface 4LUT* | 12000 | 108600 | 11.05      |
| Fabric + Interface DFF*  | 8000  | 108600 | 7.37       |
| LSRAM                    | 3     | 352    | 0.85       |
| Math (18x18)             | 12    | 336    | 3.57       |
+--------------------------+-------+--------+------------+
"""
