"""Weights of `probes`, int8 in base 85, as `benchmarks/measure_fit.py` wrote them.

Fitted on portraits of `photos` and `official` (works of the US government) and rendered heads, bare, spoilt,
dressed, veiled, masked, with shut eyes, and drawn; see there.
"""

# Masks: 2055 with, 2843 without, of 980 people.
MASK = (
    "_wfiA`}g}0_45e+5&it{`Rn}){_*n*`tr^d;uZV%_V@1d?HLFA4;}&h{`C0_|MnK%v+5oF9T@og^c>avBMb5RGcEZS1KR8a`||te"
    "?)$41<q#9{@cQHM_6pwe@e%U+=jreG4*2=%DfJ})1`ZbV3j^u-^8fhq4mR{K`~Uqa1Nie2^Z5P(^Y#7F^Zf${{O1xA4e9pw`4tZR"
    "|K-v6@#XgV1n~6mI|Kd!1pw{s*5DKL^#tYt*beFa<OBQU6#ehS{LTCQ1MUC$?BV?J?<V^32<z_p@A)1L^w%8b`T!y2==KQv?iKPB"
    "{R`gq7|Q4H^!WtyA?gwn1u*;|69z94`N07A_!k89`~U;@2KWRC2KLU{=<WgW?D_2#1St9Y^!fzr8}|7D0sGGL!TKl@{O<S(`3?Qw"
    "IROXwtUmDz8TSY!{TBDl(c~3>1{MVn=^PjLB}3);{ofVQ?<MFp+U*ht?C1O#0}0Uz5e)h~>MZy$Fb4A`2Ll5V|Lge>?h^$82m%WB"
    "?Hd6G58DI?JqqLt2m~GSCnxRj)By(gAO<1__~`%@7x?bixCz)bC=D70vL@60@fr2;`RpSpK+NF%`u5z~3<lsN)amFc1N#s4{U=!6"
    ">FV_)&Ib-us|(ch>F!1*5Hs%j_9G+w-uLz(|LXY^_W1xI`U(8}^AHUD0}lrG5f~Eq4G|9%BLCz%0{tra3kUWB@ck|X`ST7PChP|Q"
    "BKZ3IvEB>zBkBhH-SF@d1_AEm92YG1N9H&!sQ>u%=lR3<?E(AWd-?CnBJBGa4(uh}X&&?So&*f&8SOC{|2Hb`72f&%%k}sn0`V;l"
)
MASK_SCALE = 0.00986486
MASK_BIAS = 4.5447

# Shut eyes: 422 with, 1760 without, of 759 people.
SHUT_EYES = (
    "{_FrK008*(`Tzs{1_$&C`TY0#Jpljs5EJSF8~X(d?Dz%m8r<anCG-IX6hi~`FZmuG_&oOd@J9*-==d7{|Mn611p(v{{s;{I1O*NL"
    "-vId%3kClf{tEa5^$HE>>hUHK5%T=_A^Zpu`UMs30|fl_AovP5(g*h&?<V^H0q_zq`up++@&O6<0{i|0=Jxdk5d#q(_XqV4_z4mT"
    ">h&oa64Cee5%>!D_x%F*{RQ&$9Rc?MzYEq0<n-_R2;~YO`1khs`TqR#|M=?({rdg=Ap-ym0uc8X{16iX@AeZ17|!tn1NRB?0sH;?"
    "^#t(y`VaE=>mtYe{_^(u2>Am8`uqCq3H|^00RQ6x0|p5H9tiT@7Z3yy|M?5)0r~^_{@d#n0rCC%01g57@&@_+^7{Px_x;HO3itsE"
    "0}1=~1_cD}@%;w-{0Z&){|pBJ<q7%R-1!>&1@izN4g>=k^6Tj80Qu?y`{)e%01W~J{Ot_|2s*G5000;&{rdvb_4)Ay@%;1h_4M2J"
    "0{r#@1P>MB7!36M0RQpT8WI2N69(h_`tbJt_w)St>lpI=8U*zG|L^Y@+5!9b{}ulj1OWH-`uqd<`vLU`1oZm;{Q?*90}Jo`9QFMe"
    ";{*=z00r*%^7#Jt5B~z^Cg>X#^Aqs`4=o!2@h%_u3G)Z>4*>-b{|f{A{{#^S+zj^y5%%f?7zY0b@*D>B@cIZG2nziZ4(ApM2nGV{"
    "+y(mn4D}Zx3JV1c`G4R94*v`d|NQ?0@&gI+`~3d^;`;m@5)vT~7Yg_e^#leK_7Nf<`RVuz*ZK_s|NQ{=@C5Ds4D<%_>;)zC^CA8J"
    "4f_J|`up|${{8;&`}pw&3j78L6%7sn1pfF8`~d|L1Q-(v`r7pc;{Eys_4N4n^$PC!5cmJ}<QNz3`1kqy2>ANS`~ds=5&i!5{r~0z"
    "4Fd`T1qJcy;rRUp{_*?p3=I9}`Ox?P`UK_x=lJ~i^ZonvBk%_L=mzum1^NK{0tWcK3kd=F2mJ&3{0rdy1_lTO`u_Fv&H)Pf0Q2(-"
    "4IcUk<=pb-{tMLv=>ZA&0{s>OBJU9a<p9$D1po^v|NQ*0`1$V%?EU%j`1SVn`Stk*3k3`UC;;^R{098#HUj|X4+-}U=JWFV|Nrs#"
    "^Z)PoBL4yM|Nk!Z`uYI-"
)
SHUT_EYES_SCALE = 0.00807437
SHUT_EYES_BIAS = 3.3537

# Drawings: 232 with, 1462 without, of 499 people.
DRAWING = "3=-={HYf`Y>GL-f5(@O(1}_un?FQ=V3JwAC<=Gug@E+Cbs(<0?%}EUu$mRnwyyKnP0T{vH`nfCkgR{t)"
DRAWING_SCALE = 0.029333
DRAWING_BIAS = -3.7249
